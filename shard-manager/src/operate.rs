//! What operators ask for: an executor without shards, and an even spread.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kiln_proto::{
    Error,
    ids::{NodeId, ShardId},
    v1,
};
use tokio::sync::watch;

use crate::{
    inner::{Inner, Lead, not_founded},
    plan::{Facts, Liveness, Step},
    route::{Route, forwarded},
    state::{Change, SetDraining, State, unknown_node},
};

/// A turn of the plan takes milliseconds, unless it commits placements while the managers are disturbed.
const TURN_PATIENCE: Duration = Duration::from_secs(3);

/// What the leading manager has still to do, turn by turn.
#[derive(Default)]
pub(crate) struct Agenda {
    shards_left: watch::Sender<u32>,
    failed_again: AtomicBool,
}

impl Agenda {
    /// What a turn has found. Told even when it is the same number: somebody may wait for a turn.
    pub(crate) fn tell(&self, shards_left: u32) {
        self.shards_left.send_replace(shards_left);
    }

    /// Whether failed steps shall not wait any longer; asked once a turn.
    pub(crate) fn takes_failed_again(&self) -> bool {
        self.failed_again.swap(false, Ordering::Relaxed)
    }
}

/// Marks an executor, so that the plan moves its shards away, or takes the mark back.
///
/// # Errors
/// `NOT_FOUND` for a node that never attended; `CONFLICT` when too few executors would be left for all replicas.
pub(crate) async fn drain(
    inner: &Arc<Inner>,
    was_forwarded: bool,
    request: v1::DrainNodeRequest,
) -> Result<v1::DrainNodeResponse, Error> {
    inner
        .at_leader(was_forwarded, |route| {
            let inner = Arc::clone(inner);
            Box::pin(async move {
                match route {
                    Route::Here(lead) => drain_here(&inner, &lead, request).await,
                    Route::There(mut client) => Ok(client.drain_node(forwarded(request)).await?.into_inner()),
                }
            })
        })
        .await
}

async fn drain_here(
    inner: &Inner,
    lead: &Lead,
    request: v1::DrainNodeRequest,
) -> Result<v1::DrainNodeResponse, Error> {
    inner.group.read_barrier().await?;
    let state = inner.view.state()?;
    if !request.undo {
        let liveness = |node| lead.roster.lock().liveness(node, Instant::now());
        can_do_without(&state, NodeId(request.node_id), liveness)?;
    }
    inner
        .commit(Change::SetDraining(SetDraining {
            node_id: request.node_id,
            draining: !request.undo,
        }))
        .await?;
    inner.publish(lead)?;
    lead.news.notify_one();
    Ok(v1::DrainNodeResponse {})
}

/// The other executors can hold all replicas.
fn can_do_without(state: &State, node: NodeId, liveness: impl Fn(NodeId) -> Liveness) -> Result<(), Error> {
    let cluster = state.cluster.as_ref().ok_or_else(not_founded)?;
    if !state.nodes.get(&node).is_some_and(|node| node.executor) {
        return Err(unknown_node(node));
    }
    let others = state
        .nodes
        .values()
        .filter(|other| other.executor && !other.draining && other.id() != node)
        .filter(|other| matches!(liveness(other.id()), Liveness::Alive { .. }))
        .count();
    let needed = cluster.replication_factor as usize;
    if others < needed {
        return Err(Error::conflict(format!(
            "without node {node} there are {others} executors for {needed} replicas of each shard"
        ))
        .with_hint("add an executor first; a node that only restarts hands its shards over by itself when it is stopped"));
    }
    Ok(())
}

/// Has the leading manager take another turn and tells what that left.
pub(crate) async fn rebalance(
    inner: &Arc<Inner>,
    was_forwarded: bool,
    request: v1::RebalanceRequest,
) -> Result<v1::RebalanceResponse, Error> {
    inner
        .at_leader(was_forwarded, |route| {
            Box::pin(async move {
                match route {
                    Route::Here(lead) => rebalance_here(&lead, request).await,
                    Route::There(mut client) => Ok(client.rebalance(forwarded(request)).await?.into_inner()),
                }
            })
        })
        .await
}

async fn rebalance_here(lead: &Lead, request: v1::RebalanceRequest) -> Result<v1::RebalanceResponse, Error> {
    let mut turns = lead.agenda.shards_left.subscribe();
    lead.agenda
        .failed_again
        .fetch_or(request.retry_failed, Ordering::Relaxed);
    lead.news.notify_one();
    match tokio::time::timeout(TURN_PATIENCE, turns.changed()).await {
        Ok(Ok(())) => Ok(v1::RebalanceResponse {
            shards_left: *turns.borrow(),
        }),
        _ => Err(Error::unavailable("the shard managers are busy").with_hint("repeat the command")),
    }
}

/// How many shards are being changed, are about to be, or are not led where they should be.
pub(crate) fn shards_left(state: &State, facts: &Facts, steps: &[Step]) -> u32 {
    let mut left: BTreeSet<ShardId> = facts.busy.clone();
    left.extend(steps.iter().flat_map(Step::shards));
    let unsettled = state.shards.iter().filter(|(shard, placement)| {
        let is_led = |group: &crate::plan::Group| group.leader == placement.owner();
        facts.is_moving(**shard, placement) || !facts.groups.get(shard).is_some_and(is_led)
    });
    left.extend(unsettled.map(|(shard, _)| *shard));
    u32::try_from(left.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Cluster, Node};

    fn state(executors: u64, draining: &[u64]) -> State {
        let node = |node_id| Node {
            node_id,
            executor: true,
            draining: draining.contains(&node_id),
            ..Node::default()
        };
        State {
            cluster: Some(Cluster {
                replication_factor: 3,
                ..Cluster::default()
            }),
            nodes: (1..=executors).map(|id| (NodeId(id), node(id))).collect(),
            ..State::default()
        }
    }

    #[test]
    fn a_node_is_drained_only_when_the_others_can_hold_everything() {
        let alive = |_| Liveness::Alive { settled: true };
        let code =
            |state: &State, node| can_do_without(state, NodeId(node), alive).map_err(|error| error.code);
        assert_eq!(code(&state(4, &[]), 4), Ok(()));
        assert_eq!(code(&state(4, &[4]), 4), Ok(()), "once more");
        assert_eq!(code(&state(4, &[3]), 4), Err(kiln_proto::ErrorCode::Conflict));
        assert_eq!(code(&state(3, &[]), 3), Err(kiln_proto::ErrorCode::Conflict));
        assert_eq!(code(&state(4, &[]), 9), Err(kiln_proto::ErrorCode::NotFound));
        let one_is_silent = |node| match node {
            NodeId(1) => Liveness::Silent,
            _ => Liveness::Alive { settled: true },
        };
        assert!(can_do_without(&state(4, &[]), NodeId(4), one_is_silent).is_err());
    }
}
