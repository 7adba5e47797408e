//! Measures appends on one node: `cargo run --release -p kiln-store --example append [seconds]`.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use kiln_proto::{
    ids::{ComponentId, OplogIndex, ShardId, WorkerId},
    v1::{
        CreateEntry, ExportedFunctionCompletedEntry, ExportedFunctionInvokedEntry, OplogEntry,
        PendingWorkerInvocationEntry, oplog_entry::Entry, pending_worker_invocation_entry::Invocation,
    },
};
use kiln_store::{Options, Shard, Store};
use prost::Message;

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let folder = env::temp_dir().join(format!("kiln-append-{}", std::process::id()));
    let store = Store::open(Options::new(&folder)).await?;
    let shard = Shard::start(&store, ShardId(0)).await?;
    shard.group().initialize(&[store.node_id()]).await?;
    let mut leadership = shard.group().leadership();
    leadership.wait_for(|leadership| leadership.is_self).await?;
    let epoch = shard.open_epoch().await?;
    println!("appenders  appends/s  p50 µs  p99 µs  syncs/append  operations/entry  CPU µs/append");
    for appenders in [1, 16, 64, 256] {
        let before = store.stats();
        let cpu_before = cpu()?;
        let begun = Instant::now();
        let until = begun + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..appenders)
            .map(|number| {
                tokio::spawn(append_until(
                    shard.clone(),
                    epoch,
                    format!("w{appenders}-{number}"),
                    until,
                ))
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        let elapsed = begun.elapsed();
        let cpu_used = cpu()? - cpu_before;
        times.sort_unstable();
        let after = store.stats();
        let count = times.len() as f64;
        println!(
            "{appenders:9}  {:9.0}  {:6}  {:6}  {:12.3}  {:16.1}  {:13.1}",
            count / elapsed.as_secs_f64(),
            times[times.len() / 2].as_micros(),
            times[times.len() * 99 / 100].as_micros(),
            (after.log_syncs - before.log_syncs) as f64 / count,
            (after.operations - before.operations) as f64 / (after.proposals - before.proposals) as f64,
            cpu_used.as_secs_f64() * 1e6 / count,
        );
    }
    store.shutdown().await;
    std::fs::remove_dir_all(folder).context("remove the data")
}

/// Appends what a call without side effects appends, again and again, and says how long each took.
async fn append_until(
    shard: Shard,
    epoch: kiln_proto::ids::Epoch,
    name: String,
    until: Instant,
) -> Result<Vec<Duration>> {
    let component = ComponentId("00000000-0000-0000-0000-000000000007".parse()?);
    let worker = WorkerId {
        component,
        name: name.parse()?,
    };
    let create = CreateEntry {
        worker_id: Some((&worker).into()),
        ..Default::default()
    };
    let mut last = shard
        .append(epoch, &worker, OplogIndex(1), vec![encode(Entry::Create(create))])
        .await?;
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        last = shard
            .append(epoch, &worker, last.next(), invocation(&format!("key-{last}")))
            .await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn invocation(key: &str) -> Vec<Bytes> {
    let function = ExportedFunctionInvokedEntry {
        function_name: "test:counter/api.{increment}".into(),
        idempotency_key: key.into(),
        ..Default::default()
    };
    let pending = PendingWorkerInvocationEntry {
        invocation: Some(Invocation::ExportedFunction(function.clone())),
    };
    vec![
        encode(Entry::PendingWorkerInvocation(pending)),
        encode(Entry::ExportedFunctionInvoked(function)),
        encode(Entry::ExportedFunctionCompleted(
            ExportedFunctionCompletedEntry::default(),
        )),
    ]
}

fn encode(entry: Entry) -> Bytes {
    OplogEntry {
        timestamp_ns: 1,
        entry: Some(entry),
    }
    .encode_to_vec()
    .into()
}

/// Processor time of this process, from `/proc/self/stat` in ticks of 10 ms.
fn cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("fields")?.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
