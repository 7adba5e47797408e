//! Measures appends: `cargo run --release -p kiln-store --example append [seconds] [nodes]`. All nodes are in this
//! process, with gRPC between them.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod support;

use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use kiln_proto::ids::{Epoch, OplogIndex, ShardId};
use kiln_store::{Options, Shard, Store};
use support::{cpu, create, invocation, worker};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let count = env::args().nth(2).map_or(Ok(1), |text| text.parse())?;
    let folder = env::temp_dir().join(format!("kiln-append-{}", std::process::id()));
    let (stores, shards) = cluster(&folder, count).await?;
    let (store, shard) = leader(&stores, &shards).await?;
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
    for store in &stores {
        store.shutdown().await;
    }
    std::fs::remove_dir_all(folder).context("remove the data")
}

/// Starts nodes that know each other, with one shard on all of them.
async fn cluster(folder: &Path, count: usize) -> Result<(Vec<Store>, Vec<Shard>)> {
    let mut stores = Vec::new();
    let mut addresses = Vec::new();
    for number in 0..count {
        let store = Store::open(Options::new(folder.join(number.to_string()))).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        addresses.push((store.node_id(), listener.local_addr()?.to_string()));
        let server = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .add_service(store.raft_service());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        stores.push(store);
    }
    let mut shards = Vec::new();
    for store in &stores {
        for (node, address) in &addresses {
            store.peers().set(*node, address);
        }
        shards.push(Shard::start(store, ShardId(0)).await?);
    }
    let members: Vec<_> = addresses.iter().map(|(node, _)| *node).collect();
    shards[0].group().initialize(&members).await?;
    Ok((stores, shards))
}

async fn leader(stores: &[Store], shards: &[Shard]) -> Result<(Store, Shard)> {
    let mut leadership = shards[0].group().leadership();
    let leader = leadership
        .wait_for(|leadership| leadership.leader.is_some())
        .await?
        .leader;
    let at = stores
        .iter()
        .position(|store| Some(store.node_id()) == leader)
        .context("the leader is one of us")?;
    let mut leadership = shards[at].group().leadership();
    leadership.wait_for(|leadership| leadership.is_self).await?;
    Ok((stores[at].clone(), shards[at].clone()))
}

/// Appends what a call without side effects appends, again and again, and says how long each took.
async fn append_until(shard: Shard, epoch: Epoch, name: String, until: Instant) -> Result<Vec<Duration>> {
    let worker = worker(&name);
    let mut last = shard
        .append(epoch, &worker, OplogIndex(1), vec![create(&worker)])
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
