//! Carries a plan's steps out: over gRPC to executors, and into the replicated state.

use std::{sync::Arc, time::Duration};

use kiln_proto::{
    Error,
    ids::{NodeId, ShardId},
    v1,
};
use tonic::{Request, transport::Channel};
use v1::{change_replicas_request::Change as Replicas, shard_service_client::ShardServiceClient};

use crate::{
    inner::Inner,
    plan::Step,
    state::{Change, Placement, SetPlacements, ShardPlacement, State},
};

const STEP_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn carry_out(inner: &Arc<Inner>, state: &State, step: &Step) -> Result<(), Error> {
    match step {
        Step::Assign(placements) => assign(inner, placements).await,
        Step::Initialize { shard, at, members } => initialize(inner, state, *shard, *at, members).await,
        Step::AddLearner { shard, leader, node } => {
            change(inner, state, *shard, *leader, Replicas::AddLearner(node.0)).await
        }
        Step::SetVoters {
            shard,
            leader,
            voters,
        } => {
            let voters = v1::Voters {
                nodes: numbers(voters),
            };
            change(inner, state, *shard, *leader, Replicas::SetVoters(voters)).await
        }
        Step::Transfer { shard, leader, to } => transfer(inner, state, *shard, *leader, *to).await,
    }
}

/// Commits placements.
pub(crate) async fn assign(inner: &Inner, placements: &[(ShardId, Placement)]) -> Result<(), Error> {
    let row = |(shard, placement): &(ShardId, Placement)| ShardPlacement {
        shard: shard.0,
        placement: placement.clone(),
    };
    let shards = placements.iter().map(row).collect();
    inner
        .commit(Change::SetPlacements(SetPlacements { shards }))
        .await
        .map(drop)
}

async fn initialize(
    inner: &Inner,
    state: &State,
    shard: ShardId,
    at: NodeId,
    members: &[NodeId],
) -> Result<(), Error> {
    let message = v1::InitializeShardRequest {
        shard: shard.0,
        members: numbers(members),
    };
    executor(inner, state, at)?
        .initialize_shard(timed(message))
        .await?;
    let placement = state.shards.get(&shard).cloned().unwrap_or_default();
    assign(
        inner,
        &[(
            shard,
            Placement {
                initialized: true,
                ..placement
            },
        )],
    )
    .await
}

async fn change(
    inner: &Inner,
    state: &State,
    shard: ShardId,
    leader: NodeId,
    change: Replicas,
) -> Result<(), Error> {
    let message = v1::ChangeReplicasRequest {
        shard: shard.0,
        change: Some(change),
    };
    executor(inner, state, leader)?
        .change_replicas(timed(message))
        .await?;
    Ok(())
}

async fn transfer(
    inner: &Inner,
    state: &State,
    shard: ShardId,
    leader: NodeId,
    to: NodeId,
) -> Result<(), Error> {
    let message = v1::TransferShardRequest {
        shard: shard.0,
        to: to.0,
    };
    executor(inner, state, leader)?
        .transfer_shard(timed(message))
        .await?;
    Ok(())
}

fn executor(inner: &Inner, state: &State, node: NodeId) -> Result<ShardServiceClient<Channel>, Error> {
    let address = state.nodes.get(&node).map(|node| node.address.as_str());
    let address = address.ok_or_else(|| Error::internal(format!("node {node} has no address")))?;
    Ok(ShardServiceClient::new(inner.channels.get(address)?))
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(STEP_TIMEOUT);
    request
}

fn numbers(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|node| node.0).collect()
}
