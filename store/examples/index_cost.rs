//! Measures what indexes, counters and feed cost appends: `cargo run --release -p kiln-store --example index_cost
//! [seconds] [rounds]`. Two shards on one node, one with them and one without, take turns. Each call of a worker is two
//! appends, so that its status changes twice: the dearest kind of call. A call without effects is one append, which
//! leaves status and version as they were and touches no index at all.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod support;

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use kiln_proto::{
    ids::{Epoch, OplogIndex, ShardId},
    v1::{CreateEntry, KeyValue, oplog_entry::Entry},
};
use kiln_store::{Options, Shard, ShardMachine, Store};
use support::{cpu, encode, invocation, worker};

const APPENDERS: usize = 64;

/// Appends of one side, over all rounds.
#[derive(Default)]
struct Sum {
    calls: u64,
    elapsed: Duration,
    cpu: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let rounds = env::args().nth(2).map_or(Ok(4), |text| text.parse())?;
    let folder = env::temp_dir().join(format!("kiln-index-cost-{}", std::process::id()));
    let store = Store::open(Options::new(&folder)).await?;
    let with = start(&store, ShardId(0), ShardMachine::default()).await?;
    let without = start(&store, ShardId(1), ShardMachine::without_indexes()).await?;
    println!("appends a call  indexes  calls/s  CPU µs/call");
    for halves in [1, 2] {
        let mut sums = [Sum::default(), Sum::default()];
        for round in 0..rounds {
            for (sum, (shard, epoch)) in sums.iter_mut().zip([&without, &with]) {
                measure(shard, *epoch, halves, round, Duration::from_secs(seconds), sum).await?;
            }
        }
        for (sum, name) in sums.iter().zip(["off", "on"]) {
            println!(
                "{halves:14}  {name:7}  {:7.0}  {:11.1}",
                sum.calls as f64 / sum.elapsed.as_secs_f64(),
                sum.cpu.as_secs_f64() * 1e6 / sum.calls as f64
            );
        }
    }
    store.shutdown().await;
    std::fs::remove_dir_all(folder).context("remove the data")
}

async fn start(store: &Store, id: ShardId, machine: ShardMachine) -> Result<(Shard, Epoch)> {
    let shard = Shard::start_with(store, id, machine).await?;
    shard.group().initialize(&[store.node_id()]).await?;
    let mut leadership = shard.group().leadership();
    leadership.wait_for(|leadership| leadership.is_self).await?;
    let epoch = shard.open_epoch().await?;
    Ok((shard, epoch))
}

async fn measure(
    shard: &Shard,
    epoch: Epoch,
    halves: usize,
    round: u32,
    duration: Duration,
    sum: &mut Sum,
) -> Result<()> {
    let (began_at, cpu_before) = (Instant::now(), cpu()?);
    let until = began_at + duration;
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|number| {
            let name = format!("w{halves}-{round}-{number}");
            tokio::spawn(call_until(shard.clone(), epoch, name, halves, until))
        })
        .collect();
    for appender in appenders {
        sum.calls += appender.await??;
    }
    sum.elapsed += began_at.elapsed();
    sum.cpu += cpu()? - cpu_before;
    Ok(())
}

async fn call_until(shard: Shard, epoch: Epoch, name: String, halves: usize, until: Instant) -> Result<u64> {
    let worker = worker(&name);
    let create = CreateEntry {
        worker_id: Some((&worker).into()),
        env: vec![KeyValue {
            key: "GROUP".into(),
            value: "7".into(),
        }],
        indexed_env: vec!["GROUP".into()],
        ..Default::default()
    };
    let mut last = shard
        .append(epoch, &worker, OplogIndex(1), vec![encode(Entry::Create(create))])
        .await?;
    let mut calls = 0;
    while Instant::now() < until {
        let entries = invocation(&format!("key-{last}"));
        // The whole at once, or a begin and an end.
        let split = if halves == 1 { entries.len() } else { 2 };
        let (begin, end) = entries.split_at(split);
        for half in [begin, end].into_iter().filter(|half| !half.is_empty()) {
            last = shard.append(epoch, &worker, last.next(), half.to_vec()).await?;
        }
        calls += 1;
    }
    Ok(calls)
}
