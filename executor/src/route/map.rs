//! The cluster map as the managers gave it last, and who was seen to own what since.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use kiln_proto::{
    Error,
    hash::{SHARDS_MAX, shard_of},
    ids::{NodeId, ShardId, WorkerId},
    v1,
};
use tokio::sync::watch;

/// The newest map of the cluster. Read on each call, replaced seldom.
#[derive(Debug)]
pub(crate) struct ClusterView {
    map: ArcSwap<Map>,
    changed: watch::Sender<u64>,
    /// Who was last seen to lead each shard; newer than the map, but only a guess.
    owners: Box<[AtomicU64]>,
}

/// One version of the map, indexed.
#[derive(Debug, Default)]
pub(crate) struct Map {
    /// As it came.
    pub(crate) wire: v1::ClusterMap,
    addresses: HashMap<NodeId, String>,
}

impl Map {
    fn new(wire: v1::ClusterMap) -> Self {
        let addresses = wire
            .nodes
            .iter()
            .map(|node| (NodeId(node.node_id), node.address.clone()))
            .collect();
        Self { wire, addresses }
    }

    /// Where a node can be reached.
    #[must_use]
    pub(crate) fn address(&self, node: NodeId) -> Option<&str> {
        self.addresses.get(&node).map(String::as_str)
    }

    /// Where a shard is placed.
    #[must_use]
    pub(crate) fn placement(&self, shard: ShardId) -> Option<&v1::ShardPlacement> {
        let listed = self
            .wire
            .shards
            .get(shard.0 as usize)
            .filter(|placement| placement.shard == shard.0);
        listed.or_else(|| {
            self.wire
                .shards
                .iter()
                .find(|placement| placement.shard == shard.0)
        })
    }

    /// True once the cluster has been founded and its shards are known.
    #[must_use]
    pub(crate) fn is_founded(&self) -> bool {
        let count = self.wire.shard_count;
        count.is_power_of_two() && count <= SHARDS_MAX
    }

    /// True when every shard has an owner.
    #[must_use]
    pub(crate) fn is_ready(&self) -> bool {
        let shards = &self.wire.shards;
        self.is_founded()
            && shards.len() == self.wire.shard_count as usize
            && shards.iter().all(|shard| shard.reported_owner != 0)
    }

    /// The shard of a worker.
    ///
    /// # Errors
    /// `UNAVAILABLE` before the cluster is founded.
    pub(crate) fn shard_of(&self, worker: &WorkerId) -> Result<ShardId, Error> {
        if !self.is_founded() {
            return Err(Error::unavailable("this node has no cluster map yet")
                .with_hint("found the cluster with `kiln cluster bootstrap`, or start its shard managers"));
        }
        Ok(shard_of(worker, self.wire.shard_count))
    }
}

impl Default for ClusterView {
    fn default() -> Self {
        Self {
            map: ArcSwap::default(),
            changed: watch::Sender::new(0),
            owners: (0..SHARDS_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl ClusterView {
    /// The newest map.
    #[must_use]
    pub(crate) fn map(&self) -> Arc<Map> {
        self.map.load_full()
    }

    /// The newest map for a short look, without counting a reference.
    pub(crate) fn glance(&self) -> arc_swap::Guard<Arc<Map>> {
        self.map.load()
    }

    /// Takes in a map unless an equal or newer one is known. Reported owners may change under one version.
    pub(crate) fn update(&self, wire: v1::ClusterMap) {
        let known = self.map.load();
        if wire.version < known.wire.version {
            return;
        }
        for placement in wire
            .shards
            .iter()
            .filter(|placement| placement.reported_owner != 0)
        {
            // A report of an epoch that was known before must not overwrite what was seen since.
            let reported_before = known
                .placement(ShardId(placement.shard))
                .map_or(0, |known| known.reported_epoch);
            if placement.reported_epoch > reported_before {
                self.note_owner(ShardId(placement.shard), NodeId(placement.reported_owner));
            }
        }
        self.map.store(Arc::new(Map::new(wire)));
        self.changed.send_modify(|turn| *turn += 1);
    }

    /// Tells of every update.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Who was last seen to own a shard.
    #[must_use]
    pub(crate) fn owner(&self, shard: ShardId) -> Option<NodeId> {
        let owner = self.owners.get(shard.0 as usize)?.load(Ordering::Relaxed);
        (owner != 0).then_some(NodeId(owner))
    }

    /// Notes who was seen to own a shard.
    pub(crate) fn note_owner(&self, shard: ShardId, owner: NodeId) {
        if let Some(slot) = self.owners.get(shard.0 as usize) {
            slot.store(owner.0, Ordering::Relaxed);
        }
    }
}
