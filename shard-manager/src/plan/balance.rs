use kiln_proto::ids::{NodeId, ShardId};

use super::{Liveness, Planner, load::rank};
use crate::state::Placement;

impl Planner<'_> {
    /// Begins moves from the node with the most replicas to the one with the fewest, until they differ by one at most.
    ///
    /// Each move narrows the difference, so no more replicas move than an even spread asks for.
    pub(super) fn balance(&mut self) {
        if !self.is_calm() {
            return;
        }
        while self.moves_left > 0 {
            let Some((shard, placement, from, to)) = self.best_move() else {
                return;
            };
            self.begin_move(shard, &placement, Some(from), to);
        }
    }

    /// Nobody is missing: moving data while a node may come back would be moved back again.
    fn is_calm(&self) -> bool {
        let holders = self
            .state
            .shards
            .values()
            .flat_map(|placement| placement.replicas.iter());
        holders
            .copied()
            .map(NodeId)
            .all(|node| matches!(self.facts.liveness(node), Liveness::Alive { .. }))
    }

    fn best_move(&self) -> Option<(ShardId, Placement, NodeId, NodeId)> {
        let mut nodes: Vec<_> = self
            .facts
            .nodes
            .keys()
            .copied()
            .filter(|node| self.facts.is_ready(*node))
            .collect();
        nodes.sort_by_key(|node| (self.load.replicas(*node), *node));
        for to in &nodes {
            for from in nodes.iter().rev() {
                if self.load.replicas(*from) < self.load.replicas(*to) + 2 {
                    break;
                }
                if let Some((shard, placement)) = self.movable(*from, *to) {
                    return Some((shard, placement, *from, *to));
                }
            }
        }
        None
    }

    /// A shard that `from` has and `to` has not; rather one that `from` does not own, since that disturbs nobody.
    fn movable(&self, from: NodeId, to: NodeId) -> Option<(ShardId, Placement)> {
        self.state
            .shards
            .iter()
            .filter(|(_, placement)| placement.has(from) && !placement.has(to))
            .filter(|(shard, placement)| self.is_at_rest(**shard, placement) && !self.has_failed(**shard, to))
            .min_by_key(|(shard, placement)| (placement.owner() == from, rank(**shard, to)))
            .map(|(shard, placement)| (*shard, placement.clone()))
    }
}
