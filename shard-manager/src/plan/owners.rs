use std::collections::{BTreeMap, VecDeque};

use kiln_proto::ids::{NodeId, ShardId};

use super::{Liveness, Planner, Step, StepKey, StepKind};
use crate::state::Placement;

impl Planner<'_> {
    /// Chooses other preferred owners where the present one cannot lead, or leads too many.
    pub(super) fn choose_owners(&mut self) {
        let mut owners: BTreeMap<ShardId, NodeId> = BTreeMap::new();
        for (shard, placement) in &self.state.shards {
            if !self.facts.must_leave(placement.owner()) || !self.is_at_rest(*shard, placement) {
                continue;
            }
            let ready = placement
                .target()
                .into_iter()
                .filter(|node| self.facts.is_ready(*node));
            if let Some(heir) = ready.min_by_key(|node| (self.load.owned(*node), *node)) {
                owners.insert(*shard, heir);
            }
        }
        if owners.is_empty() && self.steps.is_empty() {
            owners = self.even_owners();
        }
        if owners.is_empty() {
            return;
        }
        let changed = owners
            .into_iter()
            .map(|(shard, owner)| (shard, self.with_owner(shard, owner)))
            .collect();
        self.push(Step::Assign(changed));
    }

    fn with_owner(&self, shard: ShardId, owner: NodeId) -> Placement {
        let placement = self.state.shards.get(&shard).cloned().unwrap_or_default();
        Placement {
            preferred_owner: owner.0,
            ..placement
        }
    }

    /// Owners of the shards that have to change hands so that all nodes own evenly.
    ///
    /// A node that owns two more than another gives one away, where needed along a chain of nodes that each pass a
    /// shard on. When no such chain is left, the spread is as even as the replica sets allow.
    fn even_owners(&self) -> BTreeMap<ShardId, NodeId> {
        let movable: BTreeMap<ShardId, &Placement> = self
            .state
            .shards
            .iter()
            .filter(|(shard, placement)| {
                self.facts.is_ready(placement.owner()) && self.is_at_rest(**shard, placement)
            })
            .map(|(shard, placement)| (*shard, placement))
            .collect();
        let mut owners: BTreeMap<ShardId, NodeId> = movable
            .iter()
            .map(|(shard, placement)| (*shard, placement.owner()))
            .collect();
        let mut owned: BTreeMap<NodeId, usize> = self
            .facts
            .nodes
            .keys()
            .map(|node| (*node, self.load.owned(*node)))
            .collect();
        while let Some(chain) = chain(&movable, &owners, &owned, |node| self.facts.is_ready(node)) {
            for (shard, to) in chain {
                let from = owners.insert(shard, to).unwrap_or_default();
                *owned.entry(from).or_default() -= 1;
                *owned.entry(to).or_default() += 1;
            }
        }
        owners.retain(|shard, owner| movable[shard].owner() != *owner);
        owners
    }

    /// Hands leadership to the preferred owners.
    pub(super) fn transfer(&mut self) {
        let mut transfers = Vec::new();
        for (shard, placement) in &self.state.shards {
            if transfers.len() == self.limits.transfers_max {
                break;
            }
            if self.is_at_rest(*shard, placement) {
                transfers.extend(self.transfer_of(*shard, placement));
            }
        }
        for transfer in transfers {
            self.push(transfer);
        }
    }

    fn transfer_of(&self, shard: ShardId, placement: &Placement) -> Option<Step> {
        let group = self.facts.groups.get(&shard)?;
        let to = placement.owner();
        let can_lead = group.leader != to
            && self.facts.liveness(to) == Liveness::Alive { settled: true }
            && group.has_caught_up(to, self.limits.lag_entries_max)
            && !self.facts.is_waiting(StepKey {
                kind: StepKind::Transfer,
                shard,
                node: to,
            });
        can_lead.then_some(Step::Transfer {
            shard,
            leader: group.leader,
            to,
        })
    }
}

/// A shortest chain of hand-overs from a node that owns most to one that owns at least two fewer.
fn chain(
    movable: &BTreeMap<ShardId, &Placement>,
    owners: &BTreeMap<ShardId, NodeId>,
    owned: &BTreeMap<NodeId, usize>,
    is_ready: impl Fn(NodeId) -> bool,
) -> Option<Vec<(ShardId, NodeId)>> {
    let mut sources: Vec<_> = owned.iter().filter(|(node, _)| is_ready(**node)).collect();
    sources.sort_by_key(|(node, count)| (usize::MAX - **count, **node));
    let fewest = sources.last().map_or(0, |(_, count)| **count);
    for (source, count) in sources {
        if *count < fewest + 2 {
            break;
        }
        // Breadth first: each node reached, by which shard and from whom.
        let mut reached: BTreeMap<NodeId, (ShardId, NodeId)> = BTreeMap::new();
        let mut queue = VecDeque::from([*source]);
        while let Some(node) = queue.pop_front() {
            if owned.get(&node).copied().unwrap_or(0) + 2 <= *count {
                return Some(unwind(&reached, *source, node));
            }
            for (shard, _) in owners.iter().filter(|(_, owner)| **owner == node) {
                for next in movable[shard].target() {
                    if is_ready(next) && next != *source && !reached.contains_key(&next) {
                        reached.insert(next, (*shard, node));
                        queue.push_back(next);
                    }
                }
            }
        }
    }
    None
}

fn unwind(
    reached: &BTreeMap<NodeId, (ShardId, NodeId)>,
    source: NodeId,
    last: NodeId,
) -> Vec<(ShardId, NodeId)> {
    let mut chain = Vec::new();
    let mut node = last;
    while node != source {
        let (shard, from) = reached[&node];
        chain.push((shard, node));
        node = from;
    }
    chain
}
