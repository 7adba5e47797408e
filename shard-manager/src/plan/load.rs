use std::collections::BTreeMap;

use kiln_proto::ids::{NodeId, ShardId};

use super::Facts;
use crate::state::{Placement, State};

/// How many replicas and preferred shards each executor has, counting those that it is about to get and not those
/// that it is about to lose.
pub(super) struct Load {
    replicas: BTreeMap<NodeId, usize>,
    owned: BTreeMap<NodeId, usize>,
}

impl Load {
    pub(super) fn of(state: &State, facts: &Facts) -> Self {
        let zero = || facts.nodes.keys().map(|node| (*node, 0)).collect();
        let mut load = Self {
            replicas: zero(),
            owned: zero(),
        };
        for placement in state.shards.values() {
            load.add(placement);
        }
        load
    }

    pub(super) fn add(&mut self, placement: &Placement) {
        for node in placement.target() {
            *self.replicas.entry(node).or_default() += 1;
        }
        *self.owned.entry(placement.owner()).or_default() += 1;
    }

    pub(super) fn remove(&mut self, placement: &Placement) {
        for node in placement.target() {
            lower(&mut self.replicas, node);
        }
        lower(&mut self.owned, placement.owner());
    }

    pub(super) fn replicas(&self, node: NodeId) -> usize {
        self.replicas.get(&node).copied().unwrap_or(0)
    }

    pub(super) fn owned(&self, node: NodeId) -> usize {
        self.owned.get(&node).copied().unwrap_or(0)
    }
}

fn lower(counts: &mut BTreeMap<NodeId, usize>, node: NodeId) {
    if let Some(count) = counts.get_mut(&node) {
        *count = count.saturating_sub(1);
    }
}

/// A fixed random order of nodes for each shard, so that ties do not always fall on the same nodes and the replicas of
/// one node's shards are spread over all others.
pub(super) fn rank(shard: ShardId, node: NodeId) -> u64 {
    // SplitMix64's finaliser (Steele, Lea and Flood, 2014).
    let mut mixed = node.0 ^ u64::from(shard.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
