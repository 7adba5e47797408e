//! What to do next so that every shard has its replicas on live nodes, evenly, and is led by its preferred owner.
//!
//! [`plan`] is a pure function of the replicated state and of what has been observed. It gives the next steps only,
//! at most one a shard: it is asked again whenever something has changed. Steps are idempotent. A replica moves in
//! steps that never lower the number of voters that hold the data:
//!
//! 1. *begin*: the newcomer joins `replicas`, the old one is marked `leaving`; the newcomer's node starts a replica
//! 2. add the newcomer as a learner; wait until it has nearly caught up
//! 3. if the leaving one leads: transfer leadership, promoting the newcomer first where nobody else could take it
//! 4. set the voters to those that stay
//! 5. *settle*: the old one leaves `replicas`; its node drops the data
//!
//! A move whose newcomer dies or keeps failing is abandoned, and another newcomer is chosen.

mod balance;
mod facts;
mod load;
mod owners;
mod place;
mod repair;
mod replicate;
mod step;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use facts::{Facts, Failure, Group, Liveness};
use std::collections::BTreeSet;

use kiln_proto::ids::ShardId;
use load::Load;
use replicate::is_settled;
pub use step::{Step, StepKey, StepKind};

use crate::state::{Cluster, Placement, State};

/// How much may be under way at once, and when to stop trying.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Shards whose replica set changes at the same time.
    pub moves_max: usize,
    /// Leaderships handed over in one round.
    pub transfers_max: usize,
    /// Failures after which another newcomer is chosen.
    pub failures_max: u32,
    /// Log entries that a newcomer may be behind when it gets its vote.
    pub lag_entries_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            moves_max: 4,
            transfers_max: 8,
            failures_max: 3,
            lag_entries_max: 1000,
        }
    }
}

/// The next steps. Empty when all is as it should be, or when nothing can be done now.
#[must_use]
pub fn plan(state: &State, facts: &Facts, limits: &Limits) -> Vec<Step> {
    let Some(cluster) = &state.cluster else {
        return Vec::new();
    };
    let mut planner = Planner::new(cluster, state, facts, limits);
    planner.place();
    planner.replicate();
    planner.repair();
    planner.balance();
    planner.choose_owners();
    planner.transfer();
    planner.steps
}

/// One round of planning: what is given, and the steps so far.
struct Planner<'a> {
    cluster: &'a Cluster,
    state: &'a State,
    facts: &'a Facts,
    limits: &'a Limits,
    /// Replicas and preferred shards of each node as they will be after the steps so far.
    load: Load,
    /// Shards that the steps so far change.
    touched: BTreeSet<ShardId>,
    /// How many more moves may begin.
    moves_left: usize,
    steps: Vec<Step>,
}

impl<'a> Planner<'a> {
    fn new(cluster: &'a Cluster, state: &'a State, facts: &'a Facts, limits: &'a Limits) -> Self {
        let moving = state
            .shards
            .iter()
            .filter(|(shard, placement)| facts.is_moving(**shard, placement))
            .count();
        Self {
            cluster,
            state,
            facts,
            limits,
            load: Load::of(state, facts),
            touched: BTreeSet::new(),
            moves_left: limits.moves_max.saturating_sub(moving),
            steps: Vec::new(),
        }
    }

    fn push(&mut self, step: Step) {
        self.touched.extend(step.shards());
        self.steps.push(step);
    }

    /// The shard has all that it should have, by its leader's word, and nobody is at it.
    fn is_at_rest(&self, shard: ShardId, placement: &Placement) -> bool {
        placement.initialized
            && !self.facts.busy.contains(&shard)
            && !self.touched.contains(&shard)
            && self
                .facts
                .groups
                .get(&shard)
                .is_some_and(|group| is_settled(placement, group))
    }
}
