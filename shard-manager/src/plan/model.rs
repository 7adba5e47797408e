//! A cluster in memory that carries plans out, for the tests of [`plan`].

use std::collections::{BTreeMap, BTreeSet};

use kiln_proto::ids::{NodeId, ShardId};

use super::{Facts, Failure, Group, Limits, Liveness, Step, StepKey, plan};
use crate::state::{Cluster, Node, State};

pub(super) struct Model {
    pub state: State,
    pub limits: Limits,
    pub liveness: BTreeMap<NodeId, Liveness>,
    pub groups: BTreeMap<ShardId, Group>,
    /// Nodes that attend, but cannot do what they are asked.
    pub broken: BTreeSet<NodeId>,
    /// Rounds that a failed step has to wait, and how often it failed.
    failures: BTreeMap<StepKey, (u32, u32)>,
    /// Moves that have begun since the last reset.
    pub moves: usize,
    /// Leaderships handed over since the last reset.
    pub transfers: usize,
}

pub(super) const ALIVE: Liveness = Liveness::Alive { settled: true };

impl Model {
    pub(super) fn new(shard_count: u32, replication_factor: u32) -> Self {
        let cluster = Cluster {
            cluster_id: "c".into(),
            shard_count,
            replication_factor,
            managers: vec![1],
            ..Cluster::default()
        };
        Self {
            state: State {
                cluster: Some(cluster),
                ..State::default()
            },
            limits: Limits::default(),
            liveness: BTreeMap::new(),
            groups: BTreeMap::new(),
            broken: BTreeSet::new(),
            failures: BTreeMap::new(),
            moves: 0,
            transfers: 0,
        }
    }

    pub(super) fn with_nodes(mut self, count: u64) -> Self {
        (1..=count).for_each(|node| self.join(node));
        self
    }

    pub(super) fn join(&mut self, node: u64) {
        self.state.nodes.insert(
            NodeId(node),
            Node {
                node_id: node,
                executor: true,
                ..Node::default()
            },
        );
        self.liveness.insert(NodeId(node), ALIVE);
    }

    pub(super) fn set(&mut self, node: u64, liveness: Liveness) {
        self.liveness.insert(NodeId(node), liveness);
        self.elect();
    }

    pub(super) fn attends(&self, node: NodeId) -> bool {
        matches!(
            self.liveness.get(&node),
            Some(Liveness::Alive { .. } | Liveness::Draining)
        )
    }

    /// Raft: a majority of live voters has a leader.
    fn elect(&mut self) {
        let live: BTreeSet<_> = self
            .liveness
            .keys()
            .copied()
            .filter(|node| self.attends(*node))
            .collect();
        for group in self.groups.values_mut() {
            let voters: Vec<_> = group.voters.intersection(&live).copied().collect();
            let has_majority = voters.len() * 2 > group.voters.len();
            if has_majority && !voters.contains(&group.leader) {
                group.leader = voters[0];
            } else if !has_majority {
                group.leader = NodeId(0);
            }
        }
    }

    pub(super) fn facts(&self) -> Facts {
        let led = |group: &Group| group.leader != NodeId(0);
        Facts {
            nodes: self.liveness.clone(),
            groups: self
                .groups
                .iter()
                .filter(|(_, group)| led(group))
                .map(|(s, g)| (*s, g.clone()))
                .collect(),
            busy: BTreeSet::new(),
            failures: self
                .failures
                .iter()
                .map(|(key, (count, wait))| {
                    (
                        *key,
                        Failure {
                            count: *count,
                            waiting: *wait > 0,
                        },
                    )
                })
                .collect(),
        }
    }

    /// Plans once and carries it out. False when there was nothing to do.
    pub(super) fn round(&mut self) -> bool {
        let steps = plan(&self.state, &self.facts(), &self.limits);
        self.check(&steps);
        let waited = self.failures.values().any(|(_, wait)| *wait > 0);
        self.failures
            .values_mut()
            .for_each(|(_, wait)| *wait = wait.saturating_sub(1));
        for step in &steps {
            let done = self.carry_out(step);
            if let Some(key) = step.key() {
                if done {
                    self.failures.remove(&key);
                } else {
                    let count = self.failures.get(&key).map_or(0, |failure| failure.0) + 1;
                    self.failures.insert(key, (count, 1 << count.min(5)));
                }
            }
        }
        !steps.is_empty() || waited
    }

    /// Plans until there is nothing left to do.
    pub(super) fn settle(&mut self) {
        let rounds = (0..2000).take_while(|_| self.round()).count();
        assert!(
            rounds < 2000,
            "it never ends: {:?}",
            plan(&self.state, &self.facts(), &self.limits)
        );
    }

    /// What must hold of every plan.
    fn check(&self, steps: &[Step]) {
        let mut seen = BTreeSet::new();
        for shard in steps.iter().flat_map(Step::shards) {
            assert!(seen.insert(shard), "two steps for shard {shard}: {steps:?}");
        }
        for step in steps {
            if let Step::SetVoters { shard, voters, .. } = step {
                let group = &self.groups[shard];
                let live = |nodes: &mut dyn Iterator<Item = &NodeId>| {
                    nodes.filter(|node| self.attends(**node)).count()
                };
                assert!(
                    live(&mut voters.iter()) * 2 > voters.len(),
                    "{step:?} would stop the shard"
                );
                assert!(
                    group.voters.iter().any(|node| voters.contains(node)),
                    "{step:?} leaves nobody with data"
                );
            }
        }
        let moving = self
            .state
            .shards
            .values()
            .filter(|placement| placement.is_moving())
            .count();
        let beginning = steps.iter().flat_map(begun).count();
        assert!(
            beginning == 0 || moving + beginning <= self.limits.moves_max,
            "too many moves: {steps:?}"
        );
    }

    fn carry_out(&mut self, step: &Step) -> bool {
        let can = |node: &NodeId| self.attends(*node) && !self.broken.contains(node);
        match step {
            Step::Assign(placements) => {
                self.moves += begun(step).count();
                self.state.shards.extend(placements.iter().cloned());
            }
            Step::Initialize { shard, at, members } => {
                if !can(at) || members.iter().filter(|node| can(node)).count() * 2 <= members.len() {
                    return false;
                }
                let group = Group {
                    leader: *at,
                    voters: members.iter().copied().collect(),
                    ..Group::default()
                };
                self.groups.entry(*shard).or_insert(group);
                self.state.shards.get_mut(shard).expect("placed").initialized = true;
            }
            Step::AddLearner { shard, node, .. } => {
                if !can(node) {
                    return false;
                }
                assert!(
                    self.state.shards[shard].has(*node),
                    "the newcomer runs no replica"
                );
                self.groups
                    .get_mut(shard)
                    .expect("started")
                    .learners
                    .insert(*node);
            }
            Step::SetVoters { shard, voters, .. } => {
                let group = self.groups.get_mut(shard).expect("started");
                let members: BTreeSet<_> = group.voters.union(&group.learners).copied().collect();
                assert!(
                    voters.iter().all(|node| members.contains(node)),
                    "a voter that was no learner: {step:?}"
                );
                group.voters = voters.iter().copied().collect();
                group.learners.clear();
                assert!(
                    group.voters.contains(&group.leader),
                    "the leader voted itself out"
                );
            }
            Step::Transfer { shard, to, .. } => {
                if !can(to) {
                    return false;
                }
                self.transfers += 1;
                let group = self.groups.get_mut(shard).expect("started");
                assert!(group.voters.contains(to), "{step:?}: no voter");
                group.leader = *to;
            }
        }
        // A learner that follows has caught up by the next round.
        for group in self.groups.values_mut() {
            let members = group.voters.union(&group.learners).copied();
            group.matched = members.map(|node| (node, group.applied_index)).collect();
        }
        true
    }

    /// Replicas and led shards of each node, from what runs.
    pub(super) fn spread(&self) -> BTreeMap<NodeId, (usize, usize)> {
        let mut spread: BTreeMap<_, _> = self.liveness.keys().map(|node| (*node, (0, 0))).collect();
        for group in self.groups.values() {
            for node in &group.voters {
                spread.entry(*node).or_default().0 += 1;
            }
            spread.entry(group.leader).or_default().1 += 1;
        }
        spread
    }

    /// Every shard has all replicas on live nodes, evenly, and preferred owners lead.
    pub(super) fn assert_converged(&self) {
        let cluster = self.state.cluster.as_ref().expect("founded");
        assert_eq!(self.groups.len(), cluster.shard_count as usize);
        for (shard, group) in &self.groups {
            let placement = &self.state.shards[shard];
            assert!(
                super::is_settled(placement, group),
                "shard {shard}: {placement:?} {group:?}"
            );
            assert_eq!(group.leader, placement.owner(), "shard {shard}");
            assert_eq!(group.voters.len(), cluster.replication_factor as usize);
            assert!(group.voters.iter().all(|node| self.attends(*node)));
        }
        let usable = |node: &NodeId| self.liveness[node] == ALIVE && !self.broken.contains(node);
        let spread: Vec<_> = self
            .spread()
            .into_iter()
            .filter(|(node, _)| usable(node))
            .map(|(_, n)| n)
            .collect();
        assert!(
            range(spread.iter().map(|(replicas, _)| *replicas)) <= 1,
            "{spread:?}"
        );
        assert!(range(spread.iter().map(|(_, owned)| *owned)) <= 1, "{spread:?}");
    }
}

fn begun(step: &Step) -> impl Iterator<Item = &ShardId> {
    let placements: &[_] = if let Step::Assign(placements) = step {
        placements
    } else {
        &[]
    };
    placements
        .iter()
        .filter(|(_, placement)| placement.is_moving() && placement.initialized)
        .map(|(shard, _)| shard)
}

fn range(counts: impl Iterator<Item = usize> + Clone) -> usize {
    counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0)
}
