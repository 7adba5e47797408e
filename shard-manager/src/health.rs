//! Who attends, and what they report: soft state of the leading manager.
//!
//! Everything here goes by the monotonic clock of the leading manager, handed in as `now`. A manager that has just
//! begun to lead has heard of nobody yet: until one lease has passed it presumes that all are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use kiln_proto::{
    Error,
    ids::{NodeId, ShardId},
    v1,
};

use crate::plan::{Group, Liveness};

/// How long silence means what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leases {
    /// A node is alive for that long after a report.
    pub lease: Duration,
    /// It is settled when it has been alive for that long.
    pub settling_time: Duration,
    /// It is lost when it has been silent for that long.
    pub replace_after: Duration,
}

/// Who leads a shard, by the newest word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    pub owner: NodeId,
    pub term: u64,
    pub applied_index: u64,
}

/// The attendance of all nodes since this manager leads.
pub(crate) struct Roster {
    leases: Leases,
    leading_since: Instant,
    executors: BTreeMap<NodeId, Presence>,
    managers: BTreeMap<NodeId, Presence>,
    /// What the manager before this one knew.
    inherited: BTreeMap<ShardId, Reported>,
    sessions: u64,
}

/// One node in one role.
struct Presence {
    report: v1::ExecutorReport,
    alive_since: Instant,
    seen: Instant,
    /// The stream that it attends by; 0 when that has ended.
    session: u64,
}

impl Roster {
    pub(crate) fn new(leases: Leases, leading_since: Instant, last_map: Option<&v1::ClusterMap>) -> Self {
        let inherited = last_map.into_iter().flat_map(|map| &map.shards).map(|shard| {
            let reported = Reported {
                owner: NodeId(shard.reported_owner),
                term: shard.reported_epoch,
                applied_index: shard.reported_applied_index,
            };
            (ShardId(shard.shard), reported)
        });
        Self {
            leases,
            leading_since,
            executors: BTreeMap::new(),
            managers: BTreeMap::new(),
            inherited: inherited.collect(),
            sessions: 0,
        }
    }

    /// A number for a new stream.
    pub(crate) fn open_session(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }

    /// Takes a report.
    ///
    /// # Errors
    /// `CONFLICT` when another process attends under the same node id: a copied data folder, most likely.
    pub(crate) fn report(
        &mut self,
        session: u64,
        report: v1::ExecutorReport,
        now: Instant,
    ) -> Result<(), Error> {
        let lease = self.leases.lease;
        let node = NodeId(report.node_id);
        let role = if report.manager {
            &mut self.managers
        } else {
            &mut self.executors
        };
        let Some(presence) = role.get_mut(&node) else {
            role.insert(
                node,
                Presence {
                    report,
                    alive_since: now,
                    seen: now,
                    session,
                },
            );
            return Ok(());
        };
        let is_alive = now.duration_since(presence.seen) <= lease;
        let is_other = presence.report.pid != report.pid || presence.report.address != report.address;
        if is_other && is_alive && presence.session != 0 && presence.session != session {
            return Err(same_identity(&presence.report, &report));
        }
        if !is_alive || is_other {
            presence.alive_since = now;
        }
        *presence = Presence {
            report,
            alive_since: presence.alive_since,
            seen: now,
            session,
        };
        Ok(())
    }

    /// The stream has ended. The lease runs on, but the node may come back as another process.
    pub(crate) fn close_session(&mut self, session: u64) {
        for presence in self.executors.values_mut().chain(self.managers.values_mut()) {
            if presence.session == session {
                presence.session = 0;
            }
        }
    }

    /// How each of these executors does.
    pub(crate) fn liveness(&self, node: NodeId, now: Instant) -> Liveness {
        let presence = self.executors.get(&node);
        let silent_since = presence.map_or(self.leading_since, |presence| presence.seen);
        let silence = now.duration_since(silent_since);
        match presence {
            Some(presence) if silence <= self.leases.lease => {
                let settled = now.duration_since(presence.alive_since) >= self.leases.settling_time;
                if presence.report.draining {
                    Liveness::Draining
                } else {
                    Liveness::Alive { settled }
                }
            }
            _ if silence > self.leases.replace_after => Liveness::Lost,
            _ => Liveness::Silent,
        }
    }

    /// The node's status for people and for routers.
    pub(crate) fn status(&self, node: NodeId, is_executor: bool, now: Instant) -> v1::NodeStatus {
        let role = if is_executor {
            &self.executors
        } else {
            &self.managers
        };
        let presence = role.get(&node);
        let seen = presence.map_or(self.leading_since, |presence| presence.seen);
        match presence {
            _ if now.duration_since(seen) > self.leases.lease => v1::NodeStatus::Dead,
            Some(presence) if presence.report.draining => v1::NodeStatus::Draining,
            _ => v1::NodeStatus::Alive,
        }
    }

    /// Every shard's group in the words of the live node that leads it under the highest term.
    pub(crate) fn groups(&self, now: Instant) -> BTreeMap<ShardId, Group> {
        let mut groups: BTreeMap<ShardId, (u64, Group)> = BTreeMap::new();
        for (node, shard) in self.live_reports(now) {
            let is_newer = groups
                .get(&ShardId(shard.shard))
                .is_none_or(|(term, _)| *term < shard.term);
            if shard.leader == node.0 && is_newer {
                groups.insert(ShardId(shard.shard), (shard.term, group_of(shard)));
            }
        }
        groups
            .into_iter()
            .map(|(shard, (_, group))| (shard, group))
            .collect()
    }

    /// Who leads each shard by the newest word of anybody. A dead leader counts as none.
    pub(crate) fn reported(&self, now: Instant) -> BTreeMap<ShardId, Reported> {
        let mut reported = self.inherited.clone();
        for (node, shard) in reports(self.executors.iter()) {
            let known = reported.entry(ShardId(shard.shard)).or_default();
            let is_leaders_own = shard.leader == node.0;
            let is_newer = shard.term > known.term || (shard.term == known.term && is_leaders_own);
            if shard.leader != 0 && is_newer {
                let applied_index = shard.applied_index.max(known.applied_index);
                *known = Reported {
                    owner: NodeId(shard.leader),
                    term: shard.term,
                    applied_index,
                };
            }
        }
        for reported in reported.values_mut() {
            if self.status(reported.owner, true, now) == v1::NodeStatus::Dead {
                reported.owner = NodeId(0);
            }
        }
        reported
    }

    fn live_reports(&self, now: Instant) -> impl Iterator<Item = (NodeId, &v1::ShardReport)> {
        reports(
            self.executors
                .iter()
                .filter(move |(_, presence)| now.duration_since(presence.seen) <= self.leases.lease),
        )
    }
}

fn reports<'a>(
    executors: impl Iterator<Item = (&'a NodeId, &'a Presence)>,
) -> impl Iterator<Item = (NodeId, &'a v1::ShardReport)> {
    executors.flat_map(|(node, presence)| presence.report.shards.iter().map(move |shard| (*node, shard)))
}

fn group_of(shard: &v1::ShardReport) -> Group {
    let nodes = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    Group {
        leader: NodeId(shard.leader),
        voters: nodes(&shard.voters),
        learners: nodes(&shard.learners),
        applied_index: shard.applied_index,
        matched: shard
            .progress
            .iter()
            .map(|replica| (NodeId(replica.node_id), replica.matched_index))
            .collect(),
    }
}

fn same_identity(there: &v1::ExecutorReport, new: &v1::ExecutorReport) -> Error {
    Error::conflict(format!(
        "node {} attends already, from {} (pid {}); {} (pid {}) has the same identity",
        new.node_id, there.address, there.pid, new.address, new.pid
    ))
    .with_hint(
        "two nodes must never share a data folder or a copy of one: start the new one with an empty folder",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASES: Leases = Leases {
        lease: Duration::from_secs(3),
        settling_time: Duration::from_secs(1),
        replace_after: Duration::from_secs(60),
    };
    const NODE: NodeId = NodeId(7);

    fn report(pid: u32) -> v1::ExecutorReport {
        v1::ExecutorReport {
            node_id: NODE.0,
            address: "a:1".into(),
            pid,
            ..Default::default()
        }
    }

    #[test]
    fn a_lease_passes_through_all_stages() {
        let start = Instant::now();
        let mut roster = Roster::new(LEASES, start, None);
        let session = roster.open_session();
        roster.report(session, report(1), start).expect("first");
        let after = |ms: u64| roster.liveness(NODE, start + Duration::from_millis(ms));
        assert_eq!(after(0), Liveness::Alive { settled: false });
        assert_eq!(after(1000), Liveness::Alive { settled: true });
        assert_eq!(after(3000), Liveness::Alive { settled: true });
        assert_eq!(after(3001), Liveness::Silent);
        assert_eq!(after(60_000), Liveness::Silent);
        assert_eq!(after(60_001), Liveness::Lost);
    }

    #[test]
    fn a_new_leader_gives_everybody_time_to_report() {
        let start = Instant::now();
        let roster = Roster::new(LEASES, start, None);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(roster.liveness(NODE, at(1)), Liveness::Silent);
        assert_eq!(roster.status(NODE, true, at(1)), v1::NodeStatus::Alive);
        assert_eq!(roster.status(NODE, true, at(4)), v1::NodeStatus::Dead);
        assert_eq!(roster.liveness(NODE, at(61)), Liveness::Lost);
    }

    #[test]
    fn two_processes_cannot_attend_as_one_node() {
        let start = Instant::now();
        let mut roster = Roster::new(LEASES, start, None);
        let (first, second) = (roster.open_session(), roster.open_session());
        roster.report(first, report(1), start).expect("first");
        let refused = roster
            .report(second, report(2), start)
            .expect_err("same identity");
        assert_eq!(refused.code, kiln_proto::ErrorCode::Conflict);
        roster.close_session(first);
        roster.report(second, report(2), start).expect("restarted");
    }

    #[test]
    fn the_newest_term_tells_the_owner_and_a_dead_one_is_none() {
        let start = Instant::now();
        let mut roster = Roster::new(LEASES, start, None);
        let shard = |leader, term| v1::ShardReport {
            shard: 0,
            leader,
            term,
            ..Default::default()
        };
        let of = |node_id, shard| v1::ExecutorReport {
            node_id,
            shards: vec![shard],
            ..Default::default()
        };
        roster.report(1, of(1, shard(1, 4)), start).expect("taken");
        let later = start + Duration::from_secs(2);
        roster.report(2, of(2, shard(2, 5)), later).expect("taken");
        let owner = |at| roster.reported(at)[&ShardId(0)].owner;
        assert_eq!(
            owner(later),
            NodeId(2),
            "although the old owner does not know yet"
        );
        assert_eq!(owner(later + LEASES.lease * 2), NodeId(0));
    }
}
