//! A process that writes is killed again and again; each time everything it acknowledged is there, and all that is
//! derived from the oplogs agrees with them.

mod support;

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kiln_proto::{
    ids::{OplogIndex, WorkerId},
    v1::{WorkerRecord, WorkerStatus},
};
use kiln_store::{Shard, Table, worker::Fold};
use support::{create, invocation, oplog, single, worker};

/// Tells the test binary that it is the process to be killed, and where its data lies.
const FOLDER: &str = "KILN_TEST_CRASH_FOLDER";

const ROUNDS: u64 = 8;
const WORKERS: usize = 16;

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() -> Result<()> {
    if let Ok(folder) = env::var(FOLDER) {
        return write_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir()?;
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        run_and_kill(
            folder.path(),
            Duration::from_millis(60 + 45 * round),
            &mut acknowledged,
        )?;
        check(folder.path(), &acknowledged)?;
    }
    let total: u64 = acknowledged.values().sum();
    println!("{total} entries were acknowledged over {ROUNDS} kills");
    ensure!(
        total > ROUNDS * 100,
        "the writers hardly got anything done: {total}"
    );
    Ok(())
}

fn name(number: usize) -> WorkerId {
    worker(&format!("w{number}"))
}

/// Starts the writing process, lets it work for a while, kills it, and notes what it acknowledged.
fn run_and_kill(folder: &Path, time: Duration, acknowledged: &mut BTreeMap<usize, u64>) -> Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .args(["--exact", "nothing_acknowledged_is_lost_by_a_kill", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let mut killer = None;
    for line in lines.map_while(Result::ok) {
        let mut words = line.split(' ');
        if words.next() != Some("ack") {
            continue;
        }
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        let [number, index] = numbers[..] else { continue };
        acknowledged.insert(usize::try_from(number)?, index);
        if killer.is_none() {
            let id = child.id().to_string();
            killer = Some(std::thread::spawn(move || {
                std::thread::sleep(time);
                Command::new("kill").args(["-9", &id]).status()
            }));
        }
    }
    let killer = killer.context("the writer acknowledged something")?;
    killer
        .join()
        .map_err(|_| anyhow::anyhow!("the killer panicked"))??;
    ensure!(!child.wait()?.success(), "the writer was killed");
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn write_until_killed(folder: &Path) -> Result<()> {
    let node = single(folder).await?;
    let epoch = node.shard.open_epoch().await?;
    for number in 0..WORKERS {
        let shard = node.shard.clone();
        tokio::spawn(async move {
            let worker = name(number);
            let mut last = shard.worker(&worker)?.map_or(0, |record| record.oplog_index);
            loop {
                let entries = match last {
                    0 => vec![create(&worker)],
                    last => invocation(&format!("k{last}")),
                };
                last = shard
                    .append(epoch, &worker, OplogIndex(last + 1), entries)
                    .await?
                    .0;
                println!("ack {number} {last}");
            }
            #[allow(unreachable_code, reason = "gives the task its type")]
            Ok::<_, kiln_store::Error>(())
        });
    }
    // Durable marks at all sorts of places.
    loop {
        tokio::time::sleep(Duration::from_millis(70)).await;
        node.store.flush().await?;
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn check(folder: &Path, acknowledged: &BTreeMap<usize, u64>) -> Result<()> {
    let node = single(folder).await?;
    node.shard.barrier().await?;
    let mut statuses = BTreeMap::new();
    for (number, index) in acknowledged {
        let worker = name(*number);
        let entries = oplog(&node.shard, &worker)?;
        ensure!(
            entries.len() as u64 >= *index,
            "{worker}: {} entries, {index} acknowledged",
            entries.len()
        );
        let fold = Fold::all((1..).zip(&entries));
        ensure!(
            folded(&node.shard, &worker)? == Some(fold.record.clone()),
            "{worker}: the record is not the fold"
        );
        *statuses.entry(fold.record.status()).or_insert(0) += 1;
    }
    ensure!(support::records(&node.shard)?.len() >= acknowledged.len());
    check_indexes(&node.shard)?;
    node.stop().await;
    Ok(())
}

/// The record as the oplog has it: which change of the shard was its last, only the shard knows.
fn folded(shard: &Shard, worker: &WorkerId) -> Result<Option<WorkerRecord>> {
    let record = shard.worker(worker)?;
    Ok(record.map(|record| WorkerRecord { change: 0, ..record }))
}

/// Counters and index rows agree with the records.
fn check_indexes(shard: &Shard) -> Result<()> {
    let records = support::records(shard)?;
    let mut by_status: BTreeMap<WorkerStatus, u64> = BTreeMap::new();
    for status in records.iter().map(WorkerRecord::status) {
        *by_status.entry(status).or_default() += 1;
    }
    let counted: BTreeMap<_, _> = shard
        .counts(None)?
        .into_iter()
        .map(|(_, status, count)| (status, count))
        .collect();
    ensure!(counted == by_status, "{counted:?} counted, {by_status:?} there");
    // Three rows a worker and its latest change; one more for each that is unfinished.
    let rows = shard.group().reader().scan_prefix(Table::Index, &[])?.len();
    ensure!(
        rows == 4 * records.len() + shard.unfinished()?.len(),
        "{rows} index rows for {} workers",
        records.len()
    );
    Ok(())
}
