//! An oplog processor is given every entry of a worker, in their order and none left out, although the owners of both are killed
//! while calls go on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kiln_tests::client::PatientClient;
use kiln_tests::cluster::Cluster;
use kiln_tests::guests;
use kiln_tests::wait::eventually;
use rand::Rng;

const PATIENCE: Duration = Duration::from_secs(60);
/// How often the owner of each end is killed.
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_entry_arrives_although_the_owners_of_both_ends_are_killed() -> Result<()> {
    let mut cluster = Cluster::with_component("processor").await?;
    let counter = guests::path("counter");
    let counter = counter.to_str().context("a path in UTF-8")?;
    let upload = [
        "component",
        "add",
        "counter",
        counter,
        "--oplog-processor",
        "processor",
    ];
    cluster.kiln(1)?.json(&upload).await?;
    let client = PatientClient::new(&cluster, PATIENCE)?;
    let ends = Ends::apart(&cluster, &client).await?;

    let is_over = AtomicBool::new(false);
    let calls = async {
        let mut calls = 0;
        while !is_over.load(Ordering::Relaxed) {
            calls += 1;
            let count = client
                .wave(&ends.source(), "increment", &["1"], &format!("call-{calls}"))
                .await?;
            ensure!(count == calls.to_string(), "call {calls} gave {count}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(calls)
    };
    let faults = async {
        let faults = ends.strike(&mut cluster).await;
        is_over.store(true, Ordering::Relaxed);
        faults
    };
    let (calls, faults) = tokio::join!(calls, faults);
    faults?;
    let calls: usize = calls?;

    let last = client.worker(&ends.source()).await?.oplog_index;
    let seen = eventually("every entry arrives", PATIENCE, async || {
        let seen = client
            .wave(&ends.processor(), "test:processor/api.{seen}", &[], "")
            .await?;
        let batches = batches(&seen, &ends.source)?;
        let is_all = batches.iter().any(|batch| batch.behind() > last);
        Ok(is_all.then_some(batches))
    })
    .await?;
    let repeated = assert_complete(&seen, last)?;
    let batches = seen.len();
    eprintln!(
        "{calls} calls, {last} entries in {batches} batches through {ROUNDS} kills of each owner; {repeated} came again"
    );
    cluster.finish()
}

/// A worker, and the one that is given its oplog.
struct Ends {
    source: String,
    processor: String,
}

impl Ends {
    /// Two that have different owners.
    async fn apart(cluster: &Cluster, client: &PatientClient) -> Result<Self> {
        for number in 0.. {
            let source = format!("source-{number}");
            let worker = format!("counter/{source}");
            client.wave(&worker, "get", &[], "").await?;
            let info = client.worker(&worker).await?;
            let processor = format!("{source}@{}@{:x}", info.component_id, info.created_at_ns);
            let ends = Self { source, processor };
            // It is made with the first batch.
            let owner = eventually("the processor is there", PATIENCE, async || {
                cluster.owner_of("processor", &ends.processor).await.map(Some)
            });
            if owner.await? != cluster.owner_of("counter", &ends.source).await? {
                return Ok(ends);
            }
        }
        anyhow::bail!("there are no names left")
    }

    fn source(&self) -> String {
        format!("counter/{}", self.source)
    }

    fn processor(&self) -> String {
        format!("processor/{}", self.processor)
    }

    /// Kills the owner of each in turn, and starts it again.
    async fn strike(&self, cluster: &mut Cluster) -> Result<()> {
        for _ in 0..ROUNDS {
            for (component, worker) in [("counter", &self.source), ("processor", &self.processor)] {
                let pause = rand::rng().random_range(300..1000);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let owner = eventually("the owner is known", PATIENCE, async || {
                    cluster.owner_of(component, worker).await.map(Some)
                });
                let owner = owner.await?;
                cluster.kill(owner)?;
                let away = rand::rng().random_range(500..1500);
                tokio::time::sleep(Duration::from_millis(away)).await;
                cluster.restart(owner)?;
                cluster.ready().await?;
            }
        }
        Ok(())
    }
}

/// Entries that a processor was given at once: the first one's index, and the kinds of all.
struct Batch {
    first: u64,
    kinds: Vec<String>,
}

impl Batch {
    /// The index behind the last entry.
    fn behind(&self) -> u64 {
        self.first + self.kinds.len() as u64
    }
}

/// What the processor says of its batches, in their order: a line each.
fn batches(seen: &str, source: &str) -> Result<Vec<Batch>> {
    let lines: Vec<String> = serde_json::from_str(seen).context("a list of texts")?;
    let batch = |line: &String| {
        let mut words = line.split(' ').map(str::to_owned);
        ensure!(words.next().as_deref() == Some(source), "{line}");
        let first = words.next().context("a batch has a first index")?.parse()?;
        let kinds = words.collect();
        Ok(Batch { first, kinds })
    };
    lines.iter().map(batch).collect()
}

/// Each entry, in their order; one may come again, as what it was. Gives how many did.
fn assert_complete(batches: &[Batch], last: u64) -> Result<usize> {
    let (mut entries, mut repeated) = (BTreeMap::new(), 0);
    for batch in batches {
        let next = entries.len() as u64 + 1;
        ensure!(
            batch.first <= next,
            "a batch begins at {}, not at {next}",
            batch.first
        );
        for (index, kind) in (batch.first..).zip(&batch.kinds) {
            if let Some(before) = entries.insert(index, kind) {
                ensure!(before == kind, "entry {index} was {before} and is {kind}");
                repeated += 1;
            }
        }
    }
    let arrived = entries.len() as u64;
    ensure!(arrived == last, "{arrived} of {last} entries arrived");
    Ok(repeated)
}
