use kiln_proto::ids::{NodeId, ShardId};

use crate::state::Placement;

/// One idempotent step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Commits placements: where shards go, or the begin, the end or the abandoning of a move.
    Assign(Vec<(ShardId, Placement)>),
    /// Has a node start the shard's group with these first members, then commits that it was started.
    Initialize {
        /// The shard.
        shard: ShardId,
        /// Who is asked.
        at: NodeId,
        /// All first members.
        members: Vec<NodeId>,
    },
    /// Has a node follow the log without a vote.
    AddLearner {
        /// The shard.
        shard: ShardId,
        /// Who is asked.
        leader: NodeId,
        /// The newcomer.
        node: NodeId,
    },
    /// Gives the votes to exactly these nodes; all others leave the group.
    SetVoters {
        /// The shard.
        shard: ShardId,
        /// Who is asked.
        leader: NodeId,
        /// The voters from then on.
        voters: Vec<NodeId>,
    },
    /// Hands leadership over.
    Transfer {
        /// The shard.
        shard: ShardId,
        /// Who is asked.
        leader: NodeId,
        /// Who shall lead.
        to: NodeId,
    },
}

/// The kinds of step that are carried out by another node and can fail there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// [`Step::Initialize`]
    Initialize,
    /// [`Step::AddLearner`]
    AddLearner,
    /// [`Step::SetVoters`]
    SetVoters,
    /// [`Step::Transfer`]
    Transfer,
}

/// What failures are counted by: the kind of step, its shard and the node that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey {
    /// The kind.
    pub kind: StepKind,
    /// The shard.
    pub shard: ShardId,
    /// The node that is asked, or the newcomer, or the one that shall lead.
    pub node: NodeId,
}

impl Step {
    /// The key of a step that another node carries out.
    #[must_use]
    pub fn key(&self) -> Option<StepKey> {
        let (kind, shard, node) = match *self {
            Self::Assign(_) => return None,
            Self::Initialize { shard, at, .. } => (StepKind::Initialize, shard, at),
            Self::AddLearner { shard, node, .. } => (StepKind::AddLearner, shard, node),
            Self::SetVoters { shard, leader, .. } => (StepKind::SetVoters, shard, leader),
            Self::Transfer { shard, to, .. } => (StepKind::Transfer, shard, to),
        };
        Some(StepKey { kind, shard, node })
    }

    /// The shards that it changes.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        match self {
            Self::Assign(placements) => placements.iter().map(|(shard, _)| *shard).collect(),
            Self::Initialize { shard, .. }
            | Self::AddLearner { shard, .. }
            | Self::SetVoters { shard, .. }
            | Self::Transfer { shard, .. } => vec![*shard],
        }
    }
}
