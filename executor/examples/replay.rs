//! Measures how fast a worker is replayed, beside a bare scan of the same rows: `scripts/bench-replay [CALLS…]`.
//!
//! A whole executor on a real store. For each number of recorded calls there is a worker that made them in one invocation and
//! one that made each in an invocation of its own. The instance is dropped as by a crash, and the time until the worker has
//! answered its next call is measured, less what the same takes for a worker without a past. Afterwards the store is opened
//! again, and what replay has read is read alone: its rows by RocksDB, and its entries. One JSON line for each worker.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "it measures, and ends when it cannot"
)]

#[path = "../tests/node/managers.rs"]
mod managers;
#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/node/node.rs"]
mod node;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use kiln_proto::ids::{ComponentId, OplogIndex, ShardId, WorkerId};
use kiln_store::{Shard, Table};
use serde_json::json;

use crate::node::{Node, SHARDS, open_store};

/// Replays of one worker; as many as give figures that repeat.
const ENTRIES_REPLAYED: u64 = 500_000;
const ROUNDS: std::ops::RangeInclusive<u64> = 5..=100;
/// Invocations under way while a worker with many is made.
const MADE_TOGETHER: usize = 64;
/// Scans of the rows; the fastest counts.
const SCANS: usize = 5;

/// Draws numbers: each is a host call that is recorded.
const DRAWS: &str = r#"
(component
  (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
  (core func $random (canon lower (func $random "get-random-u64")))
  (core module $main
    (import "random" "draw" (func $random (result i64)))
    (func (export "draw") (param $count i32) (result i64) (local $sum i64)
      (loop $again
        (local.set $sum (i64.add (local.get $sum) (call $random)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br_if $again (local.get $count)))
      (local.get $sum)))
  (core instance $main (instantiate $main
    (with "random" (instance (export "draw" (func $random))))))
  (func (export "draw") (param "count" u32) (result u64) (canon lift (core func $main "draw"))))
"#;

/// What replays of one worker took.
struct Measured {
    name: String,
    calls: u64,
    entries: u64,
    elapsed: Duration,
    cpu: Duration,
}

#[tokio::main]
async fn main() {
    let sizes: Vec<u64> = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number of recorded calls"))
        .collect();
    let node = Node::start().await;
    let component = wat::parse_str(DRAWS).expect("valid text");
    node.upload_bytes("draws", &component, false).await.unwrap();
    let none = measure(&node, "none", 1).await;
    let mut measured = Vec::new();
    for calls in sizes {
        let long = format!("one-invocation-{calls}");
        draw(&node, &long, calls).await;
        measured.push(measure(&node, &long, calls).await);
        let short = format!("many-invocations-{calls}");
        stream::iter(0..calls)
            .for_each_concurrent(MADE_TOGETHER, |_| draw(&node, &short, 1))
            .await;
        measured.push(measure(&node, &short, calls).await);
    }
    let data = node.stop().await;
    let scans = scan(data.path().join("store")).await;
    for worker in measured {
        let entries = worker.entries as f64;
        let elapsed = worker.elapsed.saturating_sub(none.elapsed).as_secs_f64();
        let cpu = worker.cpu.saturating_sub(none.cpu).as_secs_f64();
        let scanned = scans
            .iter()
            .find(|scanned| scanned.worker == worker.name)
            .unwrap();
        let a_second = |elapsed: f64| (entries / elapsed).round();
        let (rows, read) = (scanned.rows.as_secs_f64(), scanned.entries.as_secs_f64());
        let line = json!({
            "worker": worker.name,
            "calls": worker.calls,
            "entries": worker.entries,
            "bytes": scanned.bytes,
            "replayMs": elapsed * 1e3,
            "entriesPerSecond": a_second(elapsed),
            "cpuUsPerEntry": cpu * 1e6 / entries,
            "rowScanEntriesPerSecond": a_second(rows),
            "readEntriesPerSecond": a_second(read),
            "shareOfRowScan": rows / elapsed,
            "shareOfRead": read / elapsed,
        });
        println!("{line}");
    }
}

async fn draw(node: &Node, worker: &str, calls: u64) {
    let worker = format!("draws/{worker}");
    node.wave(&worker, "draw", &[&calls.to_string()]).await.unwrap();
}

async fn measure(node: &Node, name: &str, calls: u64) -> Measured {
    draw(node, name, 1).await;
    let worker = format!("draws/{name}");
    let entries = node.get(&worker).await.unwrap().oplog_index;
    let rounds = (ENTRIES_REPLAYED / entries).clamp(*ROUNDS.start(), *ROUNDS.end());
    let mut elapsed = Vec::new();
    let cpu_before = cpu();
    for _ in 0..rounds {
        let began = Instant::now();
        node.interrupt(&worker, true).await.unwrap();
        draw(node, name, 1).await;
        elapsed.push(began.elapsed());
    }
    let cpu = (cpu() - cpu_before) / u32::try_from(rounds).unwrap();
    elapsed.sort_unstable();
    Measured {
        name: name.to_owned(),
        calls,
        // Each round adds the few entries of one call.
        entries: u64::midpoint(entries, node.get(&worker).await.unwrap().oplog_index),
        elapsed: elapsed[elapsed.len() / 2],
        cpu,
    }
}

/// Processor time of this process so far, to the nanosecond.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let spent = threads.filter_map(|thread| {
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// One worker's oplog without the worker.
struct Scanned {
    worker: String,
    bytes: u64,
    /// For its rows, by RocksDB alone. A row holds what one commit wrote.
    rows: Duration,
    /// For its entries, checked and taken apart, as replay gets them.
    entries: Duration,
}

fn fastest(mut scan: impl FnMut()) -> Duration {
    let timed = (0..SCANS).map(|_| {
        let began = Instant::now();
        scan();
        began.elapsed()
    });
    timed.min().unwrap_or_default()
}

/// Scans the rows of every worker by RocksDB alone.
async fn scan(folder: PathBuf) -> Vec<Scanned> {
    let store = open_store(folder).await;
    let mut scanned = Vec::new();
    for shard in 0..SHARDS {
        let shard = Shard::start(&store, ShardId(shard)).await.unwrap();
        let mut leadership = shard.group().leadership();
        leadership
            .wait_for(|leadership| leadership.is_self)
            .await
            .unwrap();
        // By then everything is applied.
        shard.open_epoch().await.unwrap();
        let reader = shard.group().reader();
        for (name, number) in reader.scan_prefix(Table::ByName, &[]).unwrap() {
            let (component, name) = name.split_at(16);
            let worker = WorkerId {
                component: ComponentId::from_slice(component).unwrap(),
                name: std::str::from_utf8(name).unwrap().parse().unwrap(),
            };
            let mut end = number.to_vec();
            end.extend([u8::MAX; 8]);
            let mut bytes = 0;
            let rows = fastest(|| {
                bytes = 0;
                let visit = |_: &[u8], value: &[u8]| {
                    bytes += value.len() as u64;
                    true
                };
                reader.visit(Table::Oplog, &number, &end, visit).unwrap();
            });
            let entries = fastest(|| {
                let mut next = OplogIndex::FIRST;
                while let Some((last, _)) = shard.read_oplog(&worker, next, 4096, 1 << 20).unwrap().last() {
                    next = last.next();
                }
            });
            scanned.push(Scanned {
                worker: worker.name.to_string(),
                bytes,
                rows,
                entries,
            });
        }
    }
    store.shutdown().await;
    scanned
}
