use std::{collections::HashSet, sync::Arc, time::Duration};

use kiln_proto::{
    Error, ErrorCode,
    error::TRAILER,
    ids::{NodeId, ShardId, WorkerId},
    v1::{NodeInfo, NodeStatus, OwnerHint, ShardPlacement},
};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{Backoff, Channels, ClusterView, Map, Operation, Patience, RemoteCall};
use crate::{context::Context, shard::Shards};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Brings operations to the owners of their shards.
///
/// An attempt may be repeated although the one before took effect: operations carry an idempotency key, or do no harm twice.
pub(crate) struct Router {
    pub(crate) view: Arc<ClusterView>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) context: Arc<Context>,
}

/// How an attempt failed, and what follows from it for the next one.
struct Failure {
    error: Error,
    /// The node did not answer at all: others are asked before it.
    unreachable: Option<NodeId>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            unreachable: None,
        }
    }
}

fn lost(shard: ShardId, node: NodeId) -> Failure {
    Failure {
        error: Error::unavailable(format!("node {node} lost shard {shard} during the call")),
        unreachable: Some(node),
    }
}

impl Router {
    /// The shard of a worker.
    ///
    /// # Errors
    /// `UNAVAILABLE` before the cluster is founded.
    pub(crate) fn shard_of(&self, worker: &WorkerId) -> Result<ShardId, Error> {
        self.view.glance().shard_of(worker)
    }

    /// True unless so many replicas are known to be down that the shard can have no owner.
    pub(crate) fn has_majority(&self, shard: ShardId) -> bool {
        let map = self.view.glance();
        map.placement(shard)
            .is_some_and(|placement| has_majority(&map, placement))
    }

    /// Does an operation at the owner of a shard: until it is answered, the caller's deadline passes, or no owner can be
    /// found for too long.
    ///
    /// # Errors
    /// What the owner said; `UNAVAILABLE` with what is missing; `NOT_OWNER` when another node had passed the call here.
    pub(crate) async fn route<O: Operation>(
        &self,
        shard: ShardId,
        patience: Patience,
        operation: Arc<O>,
    ) -> Result<O::Reply, Error> {
        // The common case has no need of what follows.
        if let Some(owned) = self.shards.owned(shard) {
            match self
                .within(shard, patience.deadline, operation.clone().here(owned))
                .await
            {
                Err(error) if error.is_retryable() && patience.hops == 0 => {}
                other => return other,
            }
        }
        if patience.hops > 0 {
            return Err(self.not_owner(shard));
        }
        self.search(shard, patience, operation).await
    }

    async fn search<O: Operation>(
        &self,
        shard: ShardId,
        patience: Patience,
        operation: Arc<O>,
    ) -> Result<O::Reply, Error> {
        let give_up_at = Instant::now() + self.context.limits.unavailable_timeout;
        let give_up_at = patience
            .deadline
            .map_or(give_up_at, |deadline| deadline.min(give_up_at));
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut avoided: HashSet<NodeId> = HashSet::new();
        loop {
            let failure = match self.attempt(shard, patience, &operation, &avoided).await {
                Ok(reply) => return Ok(reply),
                Err(failure) if !failure.error.is_retryable() => return Err(failure.error),
                Err(failure) => failure,
            };
            self.context.metrics.calls_retried.increment();
            tracing::debug!(%shard, error = %failure.error, "trying again");
            let mut is_redirected = false;
            if let Some(owner) = failure.error.owner.as_ref().filter(|owner| owner.node_id != 0) {
                let owner = NodeId(owner.node_id);
                is_redirected = self.view.owner(shard) != Some(owner) && !avoided.contains(&owner);
                self.view.note_owner(shard, owner);
            }
            match failure.unreachable {
                Some(node) => {
                    avoided.insert(node);
                }
                None if !is_redirected => avoided.clear(),
                None => {}
            }
            if Instant::now() >= give_up_at {
                return Err(self.unavailable(shard, &failure.error));
            }
            if !is_redirected {
                let pause = backoff.next_pause();
                let pause_end = (Instant::now() + pause).min(give_up_at);
                self.pause(shard, pause_end).await;
            }
        }
    }

    /// Waits, but not longer than until somebody else is seen to own the shard.
    async fn pause(&self, shard: ShardId, until: Instant) {
        let before = self.view.owner(shard);
        let mut changes = self.view.changes();
        let changed = async {
            loop {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                if self.view.owner(shard) != before {
                    return;
                }
            }
        };
        // Either way it is time for the next attempt.
        let _ = tokio::time::timeout_at(until, changed).await;
    }

    async fn attempt<O: Operation>(
        &self,
        shard: ShardId,
        patience: Patience,
        operation: &Arc<O>,
        avoided: &HashSet<NodeId>,
    ) -> Result<O::Reply, Failure> {
        if let Some(owned) = self.shards.owned(shard) {
            return Ok(self
                .within(shard, patience.deadline, operation.clone().here(owned))
                .await?);
        }
        let map = self.view.map();
        let Some(node) = self.candidate(shard, &map, avoided) else {
            return Err(Error::unavailable(format!("no replica of shard {shard} is known")).into());
        };
        let Some(address) = map.address(node) else {
            return Err(Error::unavailable(format!("the address of node {node} is unknown")).into());
        };
        let call = RemoteCall {
            channel: self.channels.get(address)?,
            patience,
            message_bytes_max: self.context.limits.message_bytes_max,
        };
        self.context.metrics.calls_forwarded.increment();
        let remote = async {
            operation.there(call).await.map_err(|status| {
                let answered_by_kiln = status.metadata().get_bin(TRAILER).is_some();
                let unreachable = (!answered_by_kiln).then_some(node);
                Failure {
                    error: judge(status, node, answered_by_kiln),
                    unreachable,
                }
            })
        };
        tokio::select! {
            biased;
            reply = remote => {
                let reply = reply?;
                self.view.note_owner(shard, node);
                Ok(reply.into_inner())
            }
            () = self.replaced(shard, node) => Err(lost(shard, node)),
            // A replica here learns of an election before the managers tell: a vanished machine refuses nothing.
            () = self.shards.led_by_another(shard, node) => Err(lost(shard, node)),
            () = until(patience.deadline) => Err(self.too_late(shard).into()),
        }
    }

    /// Waits until another node than `node` is reported to own the shard: `node` may be frozen and never answer.
    async fn replaced(&self, shard: ShardId, node: NodeId) {
        let mut changes = self.view.changes();
        let epoch_of = |map: &Map| {
            map.placement(shard)
                .map_or((0, 0), |at| (at.reported_owner, at.reported_epoch))
        };
        let (_, epoch) = epoch_of(&self.view.glance());
        loop {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let (owner, newer) = epoch_of(&self.view.glance());
            if newer > epoch && owner != 0 && owner != node.0 {
                return;
            }
        }
    }

    /// Whom to ask: the leader as the replica here knows it, else who was seen last, else any replica.
    fn candidate(&self, shard: ShardId, map: &Map, avoided: &HashSet<NodeId>) -> Option<NodeId> {
        let this = self.shards.node_id();
        let is_fit = |node: &NodeId| Some(*node) != this && !avoided.contains(node);
        let led = self.shards.leader(shard).filter(is_fit);
        let seen = self.view.owner(shard).filter(is_fit);
        if let Some(node) = led.or(seen) {
            return Some(node);
        }
        let replicas: Vec<NodeId> = map
            .placement(shard)?
            .replicas
            .iter()
            .copied()
            .map(NodeId)
            .collect();
        let fit: Vec<NodeId> = replicas.iter().copied().filter(is_fit).collect();
        let others: Vec<NodeId> = replicas.into_iter().filter(|node| Some(*node) != this).collect();
        let pool = if fit.is_empty() { others } else { fit };
        let at = rand::Rng::random_range(&mut rand::rng(), 0..pool.len().max(1));
        pool.get(at).copied()
    }

    /// The answer to a call that was passed on to the wrong node.
    fn not_owner(&self, shard: ShardId) -> Error {
        let leader = self
            .shards
            .leader(shard)
            .filter(|leader| Some(*leader) != self.shards.node_id());
        let map = self.view.glance();
        Error::not_owner(OwnerHint {
            shard: shard.0,
            node_id: leader.map_or(0, |leader| leader.0),
            address: leader
                .and_then(|leader| map.address(leader))
                .unwrap_or_default()
                .to_owned(),
        })
    }

    async fn within<T>(
        &self,
        shard: ShardId,
        deadline: Option<Instant>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match deadline {
            None => work.await,
            Some(deadline) => tokio::time::timeout_at(deadline, work)
                .await
                .unwrap_or_else(|_| Err(self.too_late(shard))),
        }
    }

    /// The deadline has passed. Where a majority is missing, that is why.
    fn too_late(&self, shard: ShardId) -> Error {
        let map = self.view.glance();
        if map
            .placement(shard)
            .is_some_and(|placement| !has_majority(&map, placement))
        {
            let last = Error::unavailable("the deadline passed");
            return self.unavailable(shard, &last);
        }
        Error::deadline_exceeded(
            "the deadline passed before an answer was known; the call may still complete",
        )
        .with_hint("call again with the same idempotency key to get its result")
    }

    /// Says which replicas are missing.
    fn unavailable(&self, shard: ShardId, last: &Error) -> Error {
        if last.code == ErrorCode::Unavailable && !self.view.glance().is_founded() {
            return last.clone();
        }
        Error::unavailable(describe(shard, &self.view.glance(), last)).with_hint(
            "start the missing nodes; the same call with the same key succeeds once a majority is back",
        )
    }
}

/// What a failed call to another node says. A connection that broke, which a node that dies leaves behind, has the gRPC code
/// of a bug there: but nobody has answered, and the next attempt may find another owner.
fn judge(status: Status, node: NodeId, answered_by_kiln: bool) -> Error {
    let is_broken = matches!(status.code(), Code::Internal | Code::Unknown | Code::Cancelled);
    if !answered_by_kiln && is_broken {
        return Error::unavailable(format!(
            "the connection to node {node} broke: {}",
            status.message()
        ));
    }
    Error::from(status)
}

fn describe(shard: ShardId, map: &Map, last: &Error) -> String {
    let Some(placement) = map.placement(shard) else {
        return format!("shard {shard} is not placed on any node yet");
    };
    let names = |ids: Vec<u64>| {
        ids.into_iter()
            .map(|id| name(map, id))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if has_majority(map, placement) {
        let replicas = names(placement.replicas.clone());
        return format!("no owner of shard {shard} answers; its replicas are {replicas}; last error: {last}");
    }
    let all = placement.replicas.len();
    let down = names(
        placement
            .replicas
            .iter()
            .copied()
            .filter(|id| is_down(map, *id))
            .collect(),
    );
    format!(
        "shard {shard} has no majority: {} of its {all} replicas are needed, down are {down}",
        all / 2 + 1
    )
}

fn has_majority(map: &Map, placement: &ShardPlacement) -> bool {
    let up = placement.replicas.iter().filter(|id| !is_down(map, **id)).count();
    up > placement.replicas.len() / 2
}

fn node(map: &Map, id: u64) -> Option<&NodeInfo> {
    map.wire.nodes.iter().find(|node| node.node_id == id)
}

fn is_down(map: &Map, id: u64) -> bool {
    node(map, id).is_none_or(|node| node.status() == NodeStatus::Dead)
}

fn name(map: &Map, id: u64) -> String {
    match node(map, id) {
        Some(node) if node.name.is_empty() => format!("{id} ({})", node.address),
        Some(node) => format!("{} ({})", node.name, node.address),
        None => id.to_string(),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        None => std::future::pending().await,
        Some(deadline) => tokio::time::sleep_until(deadline).await,
    }
}
