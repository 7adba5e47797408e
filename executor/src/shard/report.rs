//! What the managers are told of the replicas here.

use kiln_proto::v1::{ReplicaProgress, ShardReport};

use super::{Replica, Shards};

impl Shards {
    /// One report for each replica.
    pub(crate) fn reports(&self) -> Vec<ShardReport> {
        self.replicas
            .load()
            .values()
            .map(|replica| replica.report())
            .collect()
    }
}

impl Replica {
    fn report(&self) -> ShardReport {
        let group = self.shard.group();
        let leadership = *group.leadership().borrow();
        let progress = if leadership.is_self {
            group.progress()
        } else {
            Vec::new()
        };
        // An owner counts as one when it has opened its epoch, so that "has an owner" means "serves".
        let is_opening = leadership.is_self && self.owned.load().is_none();
        ShardReport {
            shard: self.shard.id().0,
            leader: if is_opening {
                0
            } else {
                leadership.leader.map_or(0, |leader| leader.0)
            },
            term: leadership.term,
            applied_index: group.applied_index(),
            voters: group.voters().iter().map(|node| node.0).collect(),
            learners: group.learners().iter().map(|node| node.0).collect(),
            progress: progress
                .into_iter()
                .map(|(node, matched_index)| ReplicaProgress {
                    node_id: node.0,
                    matched_index,
                })
                .collect(),
        }
    }
}
