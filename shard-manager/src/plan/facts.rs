use std::collections::{BTreeMap, BTreeSet};

use kiln_proto::ids::{NodeId, ShardId};

use super::{StepKey, StepKind, replicate::is_settled};
use crate::state::Placement;

/// What the leading manager has observed. It is not replicated: a new leading manager observes anew.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Executors. One that is missing here counts as [`Liveness::Silent`].
    pub nodes: BTreeMap<NodeId, Liveness>,
    /// Each shard's group in the words of its present leader; absent while no live node claims to lead it.
    pub groups: BTreeMap<ShardId, Group>,
    /// Shards with a step under way, or so recent that its outcome has not been reported yet.
    pub busy: BTreeSet<ShardId>,
    /// Steps that failed and have not succeeded since.
    pub failures: BTreeMap<StepKey, Failure>,
}

/// How an executor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Its lease runs.
    Alive {
        /// It has been there long enough to be given work.
        settled: bool,
    },
    /// It attends, but asks to be relieved.
    Draining,
    /// Its lease has run out, but it may come back soon.
    Silent,
    /// Silent for so long that its replicas are to be replaced.
    Lost,
}

/// A shard's Raft group as its leader reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Who leads.
    pub leader: NodeId,
    /// The nodes with a vote.
    pub voters: BTreeSet<NodeId>,
    /// The nodes that follow without one.
    pub learners: BTreeSet<NodeId>,
    /// What the leader has applied.
    pub applied_index: u64,
    /// How far each replica has the log.
    pub matched: BTreeMap<NodeId, u64>,
}

impl Group {
    /// True when the node has nearly all of the log.
    #[must_use]
    pub fn has_caught_up(&self, node: NodeId, lag_entries_max: u64) -> bool {
        node == self.leader
            || self
                .matched
                .get(&node)
                .is_some_and(|matched| matched.saturating_add(lag_entries_max) >= self.applied_index)
    }
}

/// How often a step has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Times in a row.
    pub count: u32,
    /// It is too early to try again.
    pub waiting: bool,
}

impl Facts {
    pub(super) fn liveness(&self, node: NodeId) -> Liveness {
        self.nodes.get(&node).copied().unwrap_or(Liveness::Silent)
    }

    /// It can be given replicas and leadership.
    pub(super) fn is_ready(&self, node: NodeId) -> bool {
        self.liveness(node) == Liveness::Alive { settled: true }
    }

    pub(super) fn is_alive(&self, node: NodeId) -> bool {
        matches!(self.liveness(node), Liveness::Alive { .. } | Liveness::Draining)
    }

    /// Its replicas have to go elsewhere.
    pub(super) fn must_leave(&self, node: NodeId) -> bool {
        matches!(self.liveness(node), Liveness::Lost | Liveness::Draining)
    }

    /// A move is under way.
    pub(crate) fn is_moving(&self, shard: ShardId, placement: &Placement) -> bool {
        let unsettled = || {
            self.groups
                .get(&shard)
                .is_some_and(|group| !is_settled(placement, group))
        };
        placement.initialized && (placement.is_moving() || unsettled())
    }

    pub(super) fn failures_of(&self, kind: StepKind, shard: ShardId, node: NodeId) -> u32 {
        self.failures
            .get(&StepKey { kind, shard, node })
            .map_or(0, |failure| failure.count)
    }

    pub(super) fn is_waiting(&self, key: StepKey) -> bool {
        self.failures.get(&key).is_some_and(|failure| failure.waiting)
    }
}
