use kiln_proto::ids::{NodeId, ShardId};

use super::{Liveness, Planner, Step, load::rank};
use crate::state::Placement;

impl Planner<'_> {
    /// Gives every new shard its first replicas, as soon as there are enough executors.
    pub(super) fn place(&mut self) {
        let unplaced: Vec<_> = (0..self.cluster.shard_count)
            .map(ShardId)
            .filter(|shard| !self.state.shards.contains_key(shard))
            .collect();
        let ready: Vec<_> = self
            .facts
            .nodes
            .keys()
            .copied()
            .filter(|node| self.facts.is_ready(*node))
            .collect();
        // Nodes that came a moment ago are waited for: they would be filled by moving replicas otherwise.
        let newcomers = self
            .facts
            .nodes
            .values()
            .any(|node| *node == Liveness::Alive { settled: false });
        if unplaced.is_empty() || newcomers || ready.len() < self.cluster.replication_factor as usize {
            return;
        }
        let placements = unplaced
            .into_iter()
            .map(|shard| (shard, self.place_shard(shard, ready.clone())))
            .collect();
        self.push(Step::Assign(placements));
    }

    fn place_shard(&mut self, shard: ShardId, mut nodes: Vec<NodeId>) -> Placement {
        nodes.sort_by_key(|node| (self.load.replicas(*node), rank(shard, *node)));
        nodes.truncate(self.cluster.replication_factor as usize);
        nodes.sort_by_key(|node| (self.load.owned(*node), rank(shard, *node)));
        let placement = Placement {
            preferred_owner: nodes.first().map_or(0, |node| node.0),
            replicas: nodes.into_iter().map(|node| node.0).collect(),
            leaving: 0,
            initialized: false,
        };
        self.load.add(&placement);
        placement
    }
}
