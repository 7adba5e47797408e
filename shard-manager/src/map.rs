//! The cluster map: the replicated state and the observed facts, as executors and clients need them.

use std::{sync::Arc, time::Instant};

use kiln_proto::{ids::NodeId, v1};
use tokio::sync::watch;

use crate::{
    health::{Reported, Roster},
    state::{Node, State},
};

/// A map, shared by all that read it.
pub type SharedMap = Arc<v1::ClusterMap>;

/// The newest map that this manager knows, its own or the leading manager's.
pub(crate) struct Board {
    map: watch::Sender<Option<SharedMap>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            map: watch::Sender::new(None),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<SharedMap>> {
        self.map.subscribe()
    }

    pub(crate) fn latest(&self) -> Option<SharedMap> {
        self.map.borrow().clone()
    }

    /// Takes over the leading manager's map, unless a newer one is known.
    pub(crate) fn mirror(&self, map: v1::ClusterMap) {
        self.map.send_if_modified(|current| {
            let is_newer = current
                .as_ref()
                .is_none_or(|current| current.version < map.version);
            if is_newer {
                *current = Some(Arc::new(map));
            }
            is_newer
        });
    }

    /// Publishes what the leading manager of this term sees. The version grows only when something has changed that
    /// a reader goes by; how far owners have applied their logs is not.
    pub(crate) fn publish(&self, term: u64, mut map: v1::ClusterMap) {
        self.map.send_if_modified(|current| {
            if current
                .as_ref()
                .is_some_and(|current| current.version >= first_version(term + 1))
            {
                // Another manager leads already, under a later term.
                return false;
            }
            let (version, changed) = match current {
                Some(current) if current.version >= first_version(term) => {
                    let changed = differ(current, &map);
                    (current.version + u64::from(changed), changed)
                }
                _ => (first_version(term), true),
            };
            map.version = version;
            *current = Some(Arc::new(map));
            changed
        });
    }
}

/// Versions grow through all terms: reported owners are not replicated, so a new leading manager could not tell which
/// number its predecessor gave last.
fn first_version(term: u64) -> u64 {
    (term << 32) + 1
}

fn differ(a: &v1::ClusterMap, b: &v1::ClusterMap) -> bool {
    a.cluster_id != b.cluster_id
        || a.nodes != b.nodes
        || a.managers != b.managers
        || a.components_removed != b.components_removed
        || a.shards.len() != b.shards.len()
        || a.shards.iter().zip(&b.shards).any(|(a, b)| shards_differ(a, b))
}

fn shards_differ(a: &v1::ShardPlacement, b: &v1::ShardPlacement) -> bool {
    a.shard != b.shard
        || a.replicas != b.replicas
        || a.preferred_owner != b.preferred_owner
        || a.initialized != b.initialized
        || a.reported_owner != b.reported_owner
        || a.reported_epoch != b.reported_epoch
}

/// The map as the leading manager sees it, without a version.
pub(crate) fn build(state: &State, roster: &Roster, leader: NodeId, now: Instant) -> v1::ClusterMap {
    let Some(cluster) = &state.cluster else {
        return v1::ClusterMap::default();
    };
    let reported = roster.reported(now);
    let shards: Vec<_> = state
        .shards
        .iter()
        .map(|(shard, placement)| {
            let Reported {
                owner,
                term,
                applied_index,
            } = reported.get(shard).copied().unwrap_or_default();
            v1::ShardPlacement {
                shard: shard.0,
                replicas: placement.replicas.clone(),
                preferred_owner: placement.preferred_owner,
                initialized: placement.initialized,
                reported_owner: owner.0,
                reported_epoch: term,
                reported_applied_index: applied_index,
            }
        })
        .collect();
    v1::ClusterMap {
        cluster_id: cluster.cluster_id.clone(),
        version: 0,
        shard_count: cluster.shard_count,
        replication_factor: cluster.replication_factor,
        nodes: state
            .nodes
            .values()
            .map(|node| node_info(node, &shards, roster, leader, now))
            .collect(),
        managers: managers(state),
        secret: cluster.secret.clone(),
        components_removed: state.components_removed,
        shards,
    }
}

fn node_info(
    node: &Node,
    shards: &[v1::ShardPlacement],
    roster: &Roster,
    leader: NodeId,
    now: Instant,
) -> v1::NodeInfo {
    let role = match (node.manager, node.executor) {
        (true, true) => v1::NodeRole::All,
        (true, false) => v1::NodeRole::Manager,
        (false, _) => v1::NodeRole::Executor,
    };
    let owned = shards
        .iter()
        .filter(|shard| shard.reported_owner == node.node_id)
        .count();
    let replicas = shards
        .iter()
        .filter(|shard| shard.replicas.contains(&node.node_id))
        .count();
    v1::NodeInfo {
        node_id: node.node_id,
        address: node.address.clone(),
        role: role.into(),
        status: status(node, roster, now).into(),
        shards_owned: u32::try_from(owned).unwrap_or(u32::MAX),
        replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
        pid: node.pid,
        manager_leader: node.id() == leader,
        name: node.name.clone(),
        version: node.version.clone(),
        listeners: node.listeners.clone(),
    }
}

fn status(node: &Node, roster: &Roster, now: Instant) -> v1::NodeStatus {
    match roster.status(node.id(), node.executor, now) {
        v1::NodeStatus::Alive if node.draining => v1::NodeStatus::Draining,
        status => status,
    }
}

fn managers(state: &State) -> Vec<String> {
    state
        .nodes
        .values()
        .filter(|node| node.manager)
        .map(|node| node.address.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(owner: u64, applied: u64) -> v1::ClusterMap {
        let shard = v1::ShardPlacement {
            reported_owner: owner,
            reported_applied_index: applied,
            ..Default::default()
        };
        v1::ClusterMap {
            shards: vec![shard],
            ..Default::default()
        }
    }

    #[test]
    fn the_version_grows_only_when_readers_are_concerned() {
        let board = Board::new();
        let publish = |term, map| {
            board.publish(term, map);
            board.latest().expect("published").version
        };
        let first = publish(1, map(1, 10));
        assert_eq!(publish(1, map(1, 11)), first, "progress alone is no news");
        let second = publish(1, map(2, 11));
        assert_eq!(second, first + 1);
        assert!(publish(2, map(2, 11)) > second, "another manager leads");
    }

    #[test]
    fn progress_is_visible_without_a_new_version() {
        let board = Board::new();
        board.publish(1, map(1, 10));
        board.publish(1, map(1, 11));
        assert_eq!(
            board.latest().expect("published").shards[0].reported_applied_index,
            11
        );
    }

    #[test]
    fn an_older_map_is_never_taken_over() {
        let board = Board::new();
        board.publish(5, map(1, 1));
        board.mirror(v1::ClusterMap {
            version: first_version(4),
            ..map(9, 1)
        });
        assert_eq!(board.latest().expect("published").shards[0].reported_owner, 1);
    }
}
