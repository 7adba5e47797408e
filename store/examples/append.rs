//! Measures appends: `cargo run --release -p kiln-store --example append [seconds] [nodes]`. All nodes are in this
//! process, with gRPC between them.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    env,
    path::Path,
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
