//! Keys and blobs of a cluster whose nodes are killed: nothing lost, nothing twice, one order of all swaps, own writes read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kiln_tests::cluster::{Cluster, Shape};
use kiln_tests::storage::{StorageCaller, Swap, check_sums, check_swaps, joined};
use kiln_tests::wait::eventually;
use rand::Rng;
use rand::seq::IndexedRandom;

const FAULTS_FOR: Duration = Duration::from_secs(20);
const NUMBERS: [&str; 3] = ["a", "b", "c"];
/// The number that is swapped.
const REGISTER: &str = "register";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_applied_once_while_nodes_are_killed() -> Result<()> {
    let mut cluster = Cluster::with_component("storage").await?;
    let endpoints = cluster.endpoints();
    let stop = Arc::new(AtomicBool::new(false));
    let fresh = Arc::new(AtomicU64::new(2));

    let setter = StorageCaller::new(&endpoints, 0)?;
    // A swap needs something to begin with.
    ensure!(setter.increment("setter", REGISTER, "first").await? == 1);
    let mut adders = Vec::new();
    let mut swappers = Vec::new();
    let mut readers = Vec::new();
    for number in 0..4 {
        let caller = || StorageCaller::new(&endpoints, number);
        adders.push(tokio::spawn(add(caller()?, number, stop.clone())));
        swappers.push(tokio::spawn(swap(caller()?, number, stop.clone(), fresh.clone())));
        readers.push(tokio::spawn(read_own_writes(caller()?, number, stop.clone())));
    }
    let kills = kill_and_restart(&mut cluster).await?;
    stop.store(true, Ordering::Relaxed);

    let mut sums: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for adder in adders {
        for (number, told) in joined(adder).await? {
            sums.entry(number).or_default().extend(told);
        }
    }
    let mut swaps = Vec::new();
    for swapper in swappers {
        swaps.extend(joined(swapper).await?);
    }
    let mut read = 0;
    for reader in readers {
        read += joined(reader).await?;
    }
    let added: usize = sums.values().map(Vec::len).sum();
    let swapped = swaps.iter().filter(|swap| swap.swapped).count();
    eprintln!(
        "{kills} kills, {added} increments, {swapped} of {} swaps, {read} writes read",
        swaps.len()
    );
    ensure!(added > 50 && swapped > 10 && read > 50, "this was no load");
    for (number, told) in sums {
        let count = told.len() as u64;
        check_sums(&number, told)?;
        let stored = setter.get("setter", "numbers", &number).await?;
        ensure!(
            stored == Some(count.to_string()),
            "{number} is {stored:?}, not {count}"
        );
    }
    let last = setter.get("setter", "numbers", REGISTER).await?;
    let last = last.context("the register is there")?.parse()?;
    check_swaps(1, last, &swaps)?;
    cluster.finish()
}

/// Adds to shared numbers, each time as one of a few workers.
async fn add(
    caller: StorageCaller,
    number: usize,
    stop: Arc<AtomicBool>,
) -> Result<BTreeMap<String, Vec<u64>>> {
    let mut sums: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for call in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = NUMBERS[call % NUMBERS.len()];
        let worker = format!("adder-{}", (number + call) % 6);
        let sum = caller
            .increment(&worker, name, &format!("add-{number}-{call}"))
            .await?;
        sums.entry(name.to_owned()).or_default().push(sum);
    }
    Ok(sums)
}

/// Swaps the register for numbers that nobody else uses.
async fn swap(
    caller: StorageCaller,
    number: usize,
    stop: Arc<AtomicBool>,
    fresh: Arc<AtomicU64>,
) -> Result<Vec<Swap>> {
    let worker = format!("swapper-{number}");
    let mut swaps: Vec<Swap> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let old = caller.get(&worker, "numbers", REGISTER).await?;
        let old = old.context("the register is there")?.parse()?;
        let new = fresh.fetch_add(1, Ordering::Relaxed);
        let called = Instant::now();
        let swapped = caller.swap(&worker, REGISTER, old, new).await?;
        swaps.push(Swap {
            old,
            new,
            swapped,
            called,
            answered: Instant::now(),
        });
    }
    Ok(swaps)
}

async fn read_own_writes(caller: StorageCaller, number: usize, stop: Arc<AtomicBool>) -> Result<usize> {
    let worker = format!("reader-{number}");
    for round in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return Ok(round);
        }
        let (key, value) = (format!("{number}-{}", round % 5), format!("value {round}"));
        let read = caller.set_and_get(&worker, "own", &key, &value).await?;
        ensure!(
            read.as_deref() == Some(value.as_str()),
            "{worker} wrote {value}, read {read:?}"
        );
    }
    Ok(0)
}

async fn kill_and_restart(cluster: &mut Cluster) -> Result<usize> {
    let (began, mut kills) = (Instant::now(), 0);
    while began.elapsed() < FAULTS_FOR {
        let executors: Vec<usize> = cluster.executors().collect();
        let victim = *executors
            .choose(&mut rand::rng())
            .context("there are executors")?;
        cluster.kill(victim)?;
        kills += 1;
        // How long a node stays away is part of the fault.
        let away = rand::rng().random_range(200..1500);
        tokio::time::sleep(Duration::from_millis(away)).await;
        cluster.restart(victim)?;
        cluster.ready().await?;
    }
    Ok(kills)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_store_and_read_keys_and_blobs() -> Result<()> {
    let mut cluster = Cluster::with_component("storage").await?;
    let kiln = cluster.kiln(1)?;
    let other = cluster.kiln(2)?;

    kiln.json(&["kv", "set", "b", "greeting", "hello"]).await?;
    ensure!(other.run(&["kv", "get", "b", "greeting"]).await?.stdout == "hello");
    let elsewhere = other
        .refused(&["kv", "get", "b", "greeting", "--application", "x"])
        .await?;
    ensure!(elsewhere.0 == 3, "another application sees nothing of it");
    // What operators write, workers see, and the other way round.
    let caller = StorageCaller::new(&cluster.endpoints(), 0)?;
    ensure!(caller.get("w", "b", "greeting").await?.as_deref() == Some("hello"));
    caller.set_and_get("w", "b", "answer", "42").await?;
    let listed = other.json(&["kv", "list", "b"]).await?;
    ensure!(
        listed["keys"] == serde_json::json!(["answer", "greeting"]),
        "{listed}"
    );
    ensure!(kiln.json(&["kv", "list"]).await?["buckets"] == serde_json::json!(["b"]));
    kiln.json(&["kv", "delete", "b", "greeting", "answer"]).await?;
    ensure!(kiln.json(&["kv", "list", "b"]).await?["keys"] == serde_json::json!([]));

    blobs(&mut cluster).await?;
    cluster.finish()
}

/// The same where the bytes of objects are in a folder that the nodes share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_can_be_kept_in_a_folder() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = format!("file://{}", folder.path().display());
    let environment = [
        ("KILN_STORAGE__BLOBS", place.as_str()),
        ("KILN_APPLICATIONS__GARBAGE_DELAY", "1s"),
    ];
    let mut cluster = Cluster::start_with(Shape::default(), &environment).await?;
    blobs(&mut cluster).await?;
    eventually("the folder is empty", Duration::from_secs(60), async || {
        let mut contents = std::fs::read_dir(folder.path())?;
        ensure!(contents.next().is_none(), "there are contents");
        Ok(Some(()))
    })
    .await?;
    cluster.finish()
}

/// A file of some chunks and a bit goes in and comes out, with a node killed in between.
async fn blobs(cluster: &mut Cluster) -> Result<()> {
    const SIZE: usize = 70 << 20;
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let mut bytes = vec![0_u8; SIZE + 17];
    rand::rng().fill(&mut bytes[..]);
    std::fs::write(&from, &bytes)?;
    let (from, to) = (from.to_str().context("UTF-8")?, to.to_str().context("UTF-8")?);

    let kiln = cluster.kiln(1)?;
    let stored = kiln.json(&["blob", "put", "pictures/large", from]).await?;
    ensure!(stored["size"] == SIZE + 17, "{stored}");
    let last = cluster.executors().last().context("there are executors")?;
    cluster.kill(last)?;
    let got = kiln.run(&["blob", "get", "pictures/large", to]).await?;
    ensure!(got.code == 0, "{}", got.stderr);
    ensure!(std::fs::read(to)? == bytes, "it comes out as it went in");
    cluster.restart(last)?;
    cluster.ready().await?;

    let range = [
        "blob",
        "get",
        "pictures/large",
        to,
        "--offset",
        "40000000",
        "--length",
        "1024",
    ];
    ensure!(cluster.kiln(3)?.run(&range).await?.code == 0);
    ensure!(std::fs::read(to)? == bytes[40_000_000..40_001_024]);
    let listed = kiln.json(&["blob", "ls", "pictures"]).await?;
    ensure!(
        listed[0]["name"] == "large" && listed[0]["size"] == SIZE + 17,
        "{listed}"
    );
    let status = kiln.json(&["cluster", "status"]).await?;
    ensure!(status["storage"][0]["objectBytes"] == SIZE + 17, "{status}");
    kiln.json(&["blob", "rm", "pictures/large"]).await?;
    ensure!(kiln.refused(&["blob", "rm", "pictures/large"]).await?.0 == 3);
    kiln.json(&["blob", "rm", "pictures", "--all"]).await?;
    ensure!(kiln.json(&["blob", "ls"]).await? == serde_json::json!([]));
    Ok(())
}
