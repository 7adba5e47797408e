//! Three nodes with real gRPC between them.

mod support;

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use kiln_proto::ids::{NodeId, OplogIndex};
use kiln_store::{Error, Options};
use support::{Node, create, eventually, introduce, invocation, oplog, options, worker};
use tempfile::TempDir;

struct Cluster {
    folders: BTreeMap<NodeId, TempDir>,
    nodes: BTreeMap<NodeId, Node>,
}

impl Cluster {
    async fn start(count: usize, adjust: impl Fn(Options) -> Options) -> Result<Self> {
        let mut cluster = Self {
            folders: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        for _ in 0..count {
            cluster.add(&adjust).await?;
        }
        let members: Vec<_> = cluster.nodes.keys().copied().collect();
        cluster.nodes[&members[0]]
            .shard
            .group()
            .initialize(&members)
            .await?;
        cluster.leader().await?;
        Ok(cluster)
    }

    async fn add(&mut self, adjust: &impl Fn(Options) -> Options) -> Result<NodeId> {
        let folder = tempfile::tempdir()?;
        let node = Node::start(adjust(options(folder.path()))).await?;
        let id = node.id();
        self.folders.insert(id, folder);
        self.nodes.insert(id, node);
        introduce(&self.nodes.values().collect::<Vec<_>>());
        Ok(id)
    }

    async fn leader(&self) -> Result<NodeId> {
        eventually("there is a leader", || {
            self.nodes.values().find(|node| node.leads()).map(Node::id)
        })
        .await
    }

    async fn stop(&mut self, id: NodeId) -> Result<()> {
        self.nodes.remove(&id).context("the node runs")?.stop().await;
        Ok(())
    }

    /// Ends all nodes before the process does.
    async fn end(mut self) {
        while let Some((_, node)) = self.nodes.pop_first() {
            node.stop().await;
        }
    }

    async fn restart(&mut self, id: NodeId) -> Result<()> {
        let node = Node::start(options(self.folders[&id].path())).await?;
        self.nodes.insert(id, node);
        introduce(&self.nodes.values().collect::<Vec<_>>());
        Ok(())
    }

    /// All replicas have applied as much as the one that has applied most, and have the same oplogs.
    async fn converge(&self) -> Result<()> {
        let checksum = |node: &Node| node.shard.checksum().ok();
        eventually("all replicas are equal", || {
            let mut sums = self.nodes.values().map(checksum);
            let first = sums.next()??;
            sums.all(|other| other == Some(first)).then_some(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_takes_no_acknowledged_append_with_it() -> Result<()> {
    let mut cluster = Cluster::start(3, |options| options).await?;
    let first = cluster.leader().await?;
    let w = worker("w");
    let shard = cluster.nodes[&first].shard.clone();
    let old_epoch = shard.open_epoch().await?;
    shard
        .append(old_epoch, &w, OplogIndex(1), vec![create(&w)])
        .await?;
    let mut last = OplogIndex(1);
    for call in 0..20 {
        last = shard
            .append(old_epoch, &w, last.next(), invocation(&format!("k{call}")))
            .await?;
    }

    drop(shard);
    let lost_at = Instant::now();
    cluster.stop(first).await?;
    let second = cluster.leader().await?;
    let shard = cluster.nodes[&second].shard.clone();
    let epoch = shard.open_epoch().await?;
    let took = lost_at.elapsed();
    println!("another node owns the shard after {took:?}");
    assert!(took.as_millis() < 3000, "{took:?}");
    assert!(epoch > old_epoch);
    assert_eq!(oplog(&shard, &w)?.len() as u64, last.0);
    let refused = shard.append(old_epoch, &w, last.next(), invocation("late")).await;
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    last = shard.append(epoch, &w, last.next(), invocation("next")).await?;

    // The node comes back under another address and catches up from the log.
    cluster.restart(first).await?;
    cluster.converge().await?;
    assert_eq!(oplog(&cluster.nodes[&first].shard, &w)?.len() as u64, last.0);
    let elsewhere = cluster.nodes[&first]
        .shard
        .append(epoch, &w, last.next(), invocation("x"))
        .await;
    assert!(
        matches!(elsewhere, Err(Error::NotLeader { leader: Some(leader) }) if leader == second),
        "{elsewhere:?}"
    );
    cluster.end().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_on_request() -> Result<()> {
    let cluster = Cluster::start(3, |options| options).await?;
    let first = cluster.leader().await?;
    let other = *cluster
        .nodes
        .keys()
        .find(|id| **id != first)
        .context("another node")?;
    cluster.nodes[&first].shard.open_epoch().await?;
    cluster.converge().await?;
    let asked_at = Instant::now();
    cluster.nodes[&first].shard.group().transfer_leader(other).await?;
    eventually("the other node leads", || {
        cluster.nodes[&other].leads().then_some(())
    })
    .await?;
    println!("the leadership moved after {:?}", asked_at.elapsed());
    cluster.nodes[&other].shard.open_epoch().await?;
    cluster.end().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_learner_catches_up_by_a_snapshot() -> Result<()> {
    let keep_little = |options: Options| Options {
        log_entries_to_keep: 0,
        ..options
    };
    let mut cluster = Cluster::start(1, keep_little).await?;
    let leader = cluster.leader().await?;
    let shard = cluster.nodes[&leader].shard.clone();
    let epoch = shard.open_epoch().await?;
    for number in 0..50 {
        let worker = worker(&format!("w{number}"));
        shard
            .append(epoch, &worker, OplogIndex(1), vec![create(&worker)])
            .await?;
        shard
            .append(epoch, &worker, OplogIndex(2), invocation("k"))
            .await?;
    }
    cluster.nodes[&leader].store.flush().await?;
    eventually("the log is purged", || {
        (shard.group().purged_index() >= 100).then_some(())
    })
    .await?;

    let late = cluster.add(&keep_little).await?;
    shard.group().add_learner(late).await?;
    cluster.converge().await?;
    assert_eq!(cluster.nodes[&late].shard.checksum()?.workers, 50);
    assert_eq!(cluster.nodes[&late].shard.counts(None)?, shard.counts(None)?);
    assert_eq!(shard.group().learners(), [late]);

    // It goes on from there by the log, as a voter.
    shard.group().set_voters(&[leader, late]).await?;
    let w = worker("after");
    shard.append(epoch, &w, OplogIndex(1), vec![create(&w)]).await?;
    cluster.converge().await?;
    assert!(cluster.nodes[&late].shard.worker(&w)?.is_some());
    cluster.stop(late).await?;
    cluster.restart(late).await?;
    cluster.converge().await?;
    assert!(cluster.nodes[&late].shard.worker(&w)?.is_some());
    cluster.end().await;
    Ok(())
}
