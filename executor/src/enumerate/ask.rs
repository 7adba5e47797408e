//! Asking one shard: here, at its owner, or at any replica.

use std::{future::Future, sync::Arc, time::Duration};

use kiln_proto::{
    Error,
    convert::now_ns,
    ids::{NodeId, ShardId, WorkerId},
    v1::{self, shard_service_client::ShardServiceClient},
};
use kiln_store::Shard;
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status, transport::Channel};

use super::{Count, Scan};
use crate::{
    route::{Operation, Patience, RemoteCall, Router},
    shard::Owned,
};

/// A replica that is asked for what it has applied answers within this time, or the next one is asked.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// A question to one shard.
pub(crate) trait Question: Clone + Send + Sync + 'static {
    type Answer: Send + 'static;

    fn shard(&self) -> ShardId;
    /// Only the owner may answer, after a barrier.
    fn is_precise(&self) -> bool;
    /// Answers from a replica here.
    fn answer(
        &self,
        shard: &Shard,
        running: &[WorkerId],
        cancelled: &CancellationToken,
    ) -> Result<Self::Answer, Error>;
    fn part(answer: &mut Self::Answer) -> Option<&mut v1::ShardPart>;
    fn send(&self, call: &RemoteCall) -> impl Future<Output = Result<Response<Self::Answer>, Status>> + Send;
}

impl Question for Scan {
    type Answer = v1::ScanShardResponse;

    fn shard(&self) -> ShardId {
        self.shard
    }

    fn is_precise(&self) -> bool {
        self.precise
    }

    fn answer(
        &self,
        shard: &Shard,
        running: &[WorkerId],
        cancelled: &CancellationToken,
    ) -> Result<v1::ScanShardResponse, Error> {
        self.read(shard, running, cancelled)
    }

    fn part(answer: &mut v1::ScanShardResponse) -> Option<&mut v1::ShardPart> {
        answer.part.as_mut()
    }

    async fn send(&self, call: &RemoteCall) -> Result<Response<v1::ScanShardResponse>, Status> {
        client(call).scan_shard(call.request(self.into())).await
    }
}

impl Question for Count {
    type Answer = v1::CountShardResponse;

    fn shard(&self) -> ShardId {
        self.shard
    }

    fn is_precise(&self) -> bool {
        self.precise
    }

    fn answer(
        &self,
        shard: &Shard,
        running: &[WorkerId],
        cancelled: &CancellationToken,
    ) -> Result<v1::CountShardResponse, Error> {
        self.read(shard, running, cancelled)
    }

    fn part(answer: &mut v1::CountShardResponse) -> Option<&mut v1::ShardPart> {
        answer.part.as_mut()
    }

    async fn send(&self, call: &RemoteCall) -> Result<Response<v1::CountShardResponse>, Status> {
        client(call).count_shard(call.request(self.into())).await
    }
}

/// A question on its way to a shard's owner.
pub(crate) struct ToOwner<Q>(pub(crate) Q);

impl<Q: Question> Operation for ToOwner<Q> {
    type Reply = Q::Answer;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<Q::Answer, Error> {
        if self.0.is_precise() {
            owned.shard.barrier().await?;
        }
        let running = owned.running();
        read(self.0.clone(), owned.shard.clone(), running).await
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<Q::Answer>, Status> {
        self.0.send(&call).await
    }
}

/// Answers from a replica on this node, beside the threads that serve calls: the disk may have to be read.
pub(crate) async fn read<Q: Question>(
    question: Q,
    shard: Shard,
    running: Vec<WorkerId>,
) -> Result<Q::Answer, Error> {
    let cancelled = CancellationToken::new();
    let _cancel_with_caller = cancelled.clone().drop_guard();
    let reading = tokio::task::spawn_blocking(move || {
        let as_of_ns = as_of_ns(&shard);
        let node_id = shard.node_id().0;
        let mut answer = question.answer(&shard, &running, &cancelled)?;
        if let Some(part) = Q::part(&mut answer) {
            part.as_of_ns = as_of_ns;
            part.node_id = node_id;
        }
        Ok(answer)
    });
    reading
        .await
        .map_err(|_| Error::internal("the search of a shard was aborted"))?
}

/// Asks the owner when the question is precise, else the nearest replica that answers.
pub(super) async fn ask<Q: Question>(
    router: &Router,
    question: Q,
    patience: Patience,
) -> Result<Q::Answer, Error> {
    let shard = question.shard();
    if question.is_precise() {
        return router.route(shard, patience, Arc::new(ToOwner(question))).await;
    }
    if router.shards.owned(shard).is_some() {
        return router.route(shard, patience, Arc::new(ToOwner(question))).await;
    }
    if let Some(replica) = router.shards.replica(shard)
        && replica.shard.group().is_initialized()
    {
        return read(question, replica.shard.clone(), Vec::new()).await;
    }
    let mut last = Error::unavailable(format!("no replica of shard {shard} is known"));
    for node in replicas(router, shard) {
        match ask_replica(router, &question, node, patience).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_retryable() || error.code == kiln_proto::ErrorCode::NotFound => {
                last = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::unavailable(format!(
        "no replica of shard {shard} answers; the last one said: {last}"
    )))
}

/// Replicas elsewhere: the owner first, since it knows most; then those that live.
fn replicas(router: &Router, shard: ShardId) -> Vec<NodeId> {
    let map = router.view.glance();
    let this = router.shards.node_id();
    let Some(placement) = map.placement(shard) else {
        return Vec::new();
    };
    let owner = router.view.owner(shard);
    let is_dead = |id: &NodeId| {
        let node = map.wire.nodes.iter().find(|node| node.node_id == id.0);
        node.is_none_or(|node| node.status() == v1::NodeStatus::Dead)
    };
    let mut nodes: Vec<_> = placement.replicas.iter().copied().map(NodeId).collect();
    nodes.retain(|node| Some(*node) != this);
    nodes.sort_by_key(|node| (is_dead(node), Some(*node) != owner));
    nodes
}

async fn ask_replica<Q: Question>(
    router: &Router,
    question: &Q,
    node: NodeId,
    patience: Patience,
) -> Result<Q::Answer, Error> {
    let address = router.view.glance().address(node).map(str::to_owned);
    let address =
        address.ok_or_else(|| Error::unavailable(format!("the address of node {node} is unknown")))?;
    let patience = Patience::of(Some(
        patience
            .remaining()
            .map_or(REPLICA_PATIENCE, |left| left.min(REPLICA_PATIENCE)),
    ));
    let call = RemoteCall {
        channel: router.channels.get(&address)?,
        patience,
        message_bytes_max: router.context.limits.message_bytes_max,
    };
    let asking = tokio::time::timeout(REPLICA_PATIENCE, question.send(&call)).await;
    let answer = asking.map_err(|_| Error::unavailable(format!("node {node} does not answer")))?;
    Ok(answer.map_err(Error::from)?.into_inner())
}

fn as_of_ns(shard: &Shard) -> u64 {
    let age_ns = u64::try_from(shard.applied_at().elapsed().as_nanos()).unwrap_or(u64::MAX);
    now_ns().saturating_sub(age_ns)
}

pub(super) fn client(call: &RemoteCall) -> ShardServiceClient<Channel> {
    ShardServiceClient::new(call.channel.clone())
        .max_decoding_message_size(call.message_bytes_max)
        .max_encoding_message_size(call.message_bytes_max)
}
