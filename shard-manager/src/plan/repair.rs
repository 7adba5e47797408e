use kiln_proto::ids::{NodeId, ShardId};

use super::{Facts, Liveness, Planner, Step, StepKey, StepKind, load::rank};
use crate::state::Placement;

impl Planner<'_> {
    /// Begins to replace replicas on nodes that are lost or draining, and to fill up sets that are too small.
    pub(super) fn repair(&mut self) {
        for (shard, placement) in &self.state.shards {
            if self.moves_left == 0 {
                return;
            }
            if !self.is_at_rest(*shard, placement) {
                continue;
            }
            let leaving = leaving(placement, self.facts);
            let is_short = placement.replicas.len() < self.cluster.replication_factor as usize;
            if leaving.is_none() && !is_short {
                continue;
            }
            if let Some(newcomer) = self.newcomer(*shard, placement) {
                self.begin_move(*shard, placement, leaving, newcomer);
            }
        }
    }

    /// The node with the fewest replicas that could take one of this shard.
    fn newcomer(&self, shard: ShardId, placement: &Placement) -> Option<NodeId> {
        self.facts
            .nodes
            .keys()
            .copied()
            .filter(|node| !placement.has(*node) && self.facts.is_ready(*node))
            .filter(|node| !self.has_failed(shard, *node))
            .min_by_key(|node| (self.load.replicas(*node), rank(shard, *node)))
    }

    /// Adding it was tried and given up a short while ago.
    pub(super) fn has_failed(&self, shard: ShardId, node: NodeId) -> bool {
        self.facts.is_waiting(StepKey {
            kind: StepKind::AddLearner,
            shard,
            node,
        })
    }

    pub(super) fn begin_move(
        &mut self,
        shard: ShardId,
        placement: &Placement,
        leaving: Option<NodeId>,
        newcomer: NodeId,
    ) {
        let mut begun = placement.clone();
        begun.replicas.push(newcomer.0);
        begun.leaving = leaving.map_or(0, |node| node.0);
        self.load.remove(placement);
        if leaving == Some(placement.owner()) {
            let stays = placement
                .target()
                .into_iter()
                .filter(|node| Some(*node) != leaving);
            let heir = stays.min_by_key(|node| (!self.facts.is_ready(*node), self.load.owned(*node)));
            begun.preferred_owner = heir.unwrap_or(newcomer).0;
        }
        self.load.add(&begun);
        self.moves_left -= 1;
        self.push(Step::Assign(vec![(shard, begun)]));
    }
}

/// Lost nodes go before those that can wait.
fn leaving(placement: &Placement, facts: &Facts) -> Option<NodeId> {
    placement
        .target()
        .into_iter()
        .filter(|node| facts.must_leave(*node))
        .min_by_key(|node| (facts.liveness(*node) != Liveness::Lost, *node))
}
