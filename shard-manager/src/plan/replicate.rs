use std::collections::BTreeSet;

use kiln_proto::ids::{NodeId, ShardId};

use super::{Facts, Group, Limits, Liveness, Planner, Step, StepKey, StepKind};
use crate::state::Placement;

impl Planner<'_> {
    /// Brings each shard's Raft group in line with its placement, one step at a time.
    pub(super) fn replicate(&mut self) {
        for (shard, placement) in &self.state.shards {
            if self.facts.busy.contains(shard) {
                continue;
            }
            let step = next_step(*shard, placement, self.facts, self.limits);
            let step = step.filter(|step| step.key().is_none_or(|key| !self.facts.is_waiting(key)));
            if let Some(step) = step {
                self.push(step);
            }
        }
    }
}

/// True when the group has exactly the replicas that it should have, and no move is under way.
pub(super) fn is_settled(placement: &Placement, group: &Group) -> bool {
    !placement.is_moving() && group.learners.is_empty() && group.voters.iter().copied().eq(placement.target())
}

fn next_step(shard: ShardId, placement: &Placement, facts: &Facts, limits: &Limits) -> Option<Step> {
    if !placement.initialized {
        return initialize(shard, placement, facts);
    }
    // Without a leader there is nobody to ask; Raft elects one by itself.
    let group = facts.groups.get(&shard)?;
    if is_settled(placement, group) {
        return None;
    }
    let target: BTreeSet<_> = placement.target().into_iter().collect();
    let joining: Vec<_> = target.difference(&group.voters).copied().collect();
    if let Some(hopeless) = joining
        .iter()
        .find(|node| is_hopeless(shard, **node, facts, limits))
    {
        return Some(Step::Assign(vec![(shard, without(placement, *hopeless))]));
    }
    if let Some(newcomer) = joining.iter().find(|node| !group.learners.contains(node)) {
        return Some(Step::AddLearner {
            shard,
            leader: group.leader,
            node: *newcomer,
        });
    }
    if !joining
        .iter()
        .all(|node| facts.is_alive(*node) && group.has_caught_up(*node, limits.lag_entries_max))
    {
        return None;
    }
    if joining.is_empty() && group.voters == target && group.learners.is_empty() {
        return Some(Step::Assign(vec![(shard, settled(placement))]));
    }
    let step = set_voters(shard, group, &target, facts, limits);
    let stops_the_shard =
        matches!(&step, Step::SetVoters { voters, .. } if !has_live_majority(voters, facts));
    (!stops_the_shard).then_some(step)
}

/// Every replica of the first set may start it; the preferred owner first, so that it leads from the start.
/// The set stays as it is until that has succeeded: two different first sets would be two groups.
fn initialize(shard: ShardId, placement: &Placement, facts: &Facts) -> Option<Step> {
    let failures = |node: NodeId| facts.failures_of(StepKind::Initialize, shard, node);
    let at = placement
        .target()
        .into_iter()
        .filter(|node| facts.is_alive(*node))
        .filter(|node| {
            !facts.is_waiting(StepKey {
                kind: StepKind::Initialize,
                shard,
                node: *node,
            })
        })
        .min_by_key(|node| (failures(*node), *node != placement.owner()))?;
    Some(Step::Initialize {
        shard,
        at,
        members: placement.target(),
    })
}

/// It is lost, or adding it has failed so often that somebody else shall be tried for a while.
fn is_hopeless(shard: ShardId, newcomer: NodeId, facts: &Facts, limits: &Limits) -> bool {
    let key = StepKey {
        kind: StepKind::AddLearner,
        shard,
        node: newcomer,
    };
    let gave_up =
        facts.failures_of(key.kind, shard, newcomer) >= limits.failures_max && facts.is_waiting(key);
    gave_up || facts.liveness(newcomer) == Liveness::Lost
}

/// The placement as it was before the newcomer was asked in.
fn without(placement: &Placement, newcomer: NodeId) -> Placement {
    let replicas: Vec<_> = placement
        .replicas
        .iter()
        .copied()
        .filter(|node| *node != newcomer.0)
        .collect();
    let preferred_owner = if placement.owner() == newcomer {
        replicas[0]
    } else {
        placement.preferred_owner
    };
    Placement {
        replicas,
        leaving: 0,
        preferred_owner,
        initialized: placement.initialized,
    }
}

fn settled(placement: &Placement) -> Placement {
    let replicas = placement.target().into_iter().map(|node| node.0).collect();
    Placement {
        replicas,
        leaving: 0,
        ..placement.clone()
    }
}

/// Voters of whom half are away could not commit anything, not even the change that would mend it.
fn has_live_majority(voters: &[NodeId], facts: &Facts) -> bool {
    voters.iter().filter(|node| facts.is_alive(**node)).count() * 2 > voters.len()
}

/// The last steps of a move. A leader does not vote itself out: it hands over first.
fn set_voters(
    shard: ShardId,
    group: &Group,
    target: &BTreeSet<NodeId>,
    facts: &Facts,
    limits: &Limits,
) -> Step {
    let leader = group.leader;
    if target.contains(&leader) {
        return Step::SetVoters {
            shard,
            leader,
            voters: target.iter().copied().collect(),
        };
    }
    let heir = target
        .intersection(&group.voters)
        .copied()
        .filter(|node| facts.is_alive(*node) && group.has_caught_up(*node, limits.lag_entries_max))
        .min_by_key(|node| (facts.failures_of(StepKind::Transfer, shard, *node), *node));
    match heir {
        Some(to) => Step::Transfer { shard, leader, to },
        None => Step::SetVoters {
            shard,
            leader,
            voters: target.union(&group.voters).copied().collect(),
        },
    }
}
