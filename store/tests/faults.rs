//! Nodes come and go while clients write. The log keeps next to nothing, so that a node that comes back needs a
//! snapshot as often as not.

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use kiln_proto::ids::{Epoch, NodeId, OplogIndex, WorkerId};
use kiln_store::{Error, Options, Shard};
use support::{Node, create, eventually, introduce, invocation, oplog, options, worker};

const CLIENTS: usize = 4;
const ROUNDS: usize = 6;

type Nodes = Arc<Mutex<BTreeMap<NodeId, Node>>>;

fn settings(path: &Path) -> Options {
    Options {
        log_entries_to_keep: 3,
        flush_interval: Duration::from_millis(100),
        ..options(path)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_nodes_come_and_go() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nodes: Nodes = Arc::default();
    let mut folders = BTreeMap::new();
    for number in 0..3 {
        let path = folder.path().join(number.to_string());
        let node = Node::start(settings(&path)).await?;
        folders.insert(node.id(), path);
        nodes.lock().expect("not poisoned").insert(node.id(), node);
    }
    meet(&nodes);
    let members: Vec<_> = folders.keys().copied().collect();
    let first = shard(&nodes, |_| true).context("a node")?;
    first.group().initialize(&members).await?;
    drop(first);

    let ends = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            tokio::spawn(write(
                Arc::clone(&nodes),
                worker(&format!("w{number}")),
                Arc::clone(&ends),
            ))
        })
        .collect();
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(150)).await;
        // The leader every other time.
        let victim = {
            let nodes = nodes.lock().expect("not poisoned");
            let leader = nodes.values().find(|node| node.leads()).map(Node::id);
            let other = nodes.keys().find(|id| Some(**id) != leader).copied();
            if round % 2 == 0 { leader.or(other) } else { other }
        };
        let victim = victim.context("a node")?;
        let node = nodes
            .lock()
            .expect("not poisoned")
            .remove(&victim)
            .context("it runs")?;
        node.stop().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let node = Node::start(settings(&folders[&victim])).await?;
        nodes.lock().expect("not poisoned").insert(victim, node);
        meet(&nodes);
    }
    ends.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.push(client.await??);
    }
    println!("acknowledged: {acknowledged:?}");

    let leader = eventually("there is a leader", || shard(&nodes, Node::leads)).await?;
    leader.barrier().await?;
    for (number, last) in acknowledged.iter().enumerate() {
        let entries = oplog(&leader, &worker(&format!("w{number}")))?.len() as u64;
        ensure!(*last > 1, "client {number} got nothing done");
        ensure!(
            entries >= *last,
            "worker {number} has {entries} entries, {last} were acknowledged"
        );
    }
    drop(leader);
    eventually("all replicas are equal", || {
        let nodes = nodes.lock().expect("not poisoned");
        let sums: Option<Vec<_>> = nodes.values().map(|node| node.shard.checksum().ok()).collect();
        sums?.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
    })
    .await?;
    loop {
        let Some((_, node)) = nodes.lock().expect("not poisoned").pop_first() else {
            return Ok(());
        };
        node.stop().await;
    }
}

fn meet(nodes: &Nodes) {
    introduce(&nodes.lock().expect("not poisoned").values().collect::<Vec<_>>());
}

fn shard(nodes: &Nodes, wanted: impl Fn(&Node) -> bool) -> Option<Shard> {
    let nodes = nodes.lock().expect("not poisoned");
    nodes
        .values()
        .find(|node| wanted(node))
        .map(|node| node.shard.clone())
}

/// Appends to one worker wherever it is owned, and returns the last index that was acknowledged.
async fn write(nodes: Nodes, worker: WorkerId, ends: Arc<AtomicBool>) -> Result<u64> {
    let mut acknowledged = 0;
    while !ends.load(Ordering::Relaxed) {
        let Some(shard) = shard(&nodes, Node::leads) else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        match own(&shard, &worker, &mut acknowledged, &ends).await {
            Ok(())
            | Err(Error::NotLeader { .. } | Error::Unavailable(_) | Error::Fenced { .. } | Error::Stopped) => {
            }
            // Another client of this test has opened a newer epoch on the same owner, or an append that was unknown
            // has taken effect.
            Err(Error::IndexMismatch { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(acknowledged)
}

/// Writes under one epoch until that ends.
async fn own(
    shard: &Shard,
    worker: &WorkerId,
    acknowledged: &mut u64,
    ends: &AtomicBool,
) -> Result<(), Error> {
    let epoch: Epoch = shard.open_epoch().await?;
    shard.barrier().await?;
    let mut last = shard.worker(worker)?.map_or(0, |record| record.oplog_index);
    if last < *acknowledged {
        return Err(Error::Corrupt(format!(
            "{worker} ends at {last}, {acknowledged} was acknowledged"
        )));
    }
    while !ends.load(Ordering::Relaxed) {
        let entries = match last {
            0 => vec![create(worker)],
            last => invocation(&format!("k{last}")),
        };
        last = shard
            .append(epoch, worker, OplogIndex(last + 1), entries)
            .await?
            .0;
        *acknowledged = last;
    }
    Ok(())
}
