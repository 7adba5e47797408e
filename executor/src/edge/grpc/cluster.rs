use std::{sync::Arc, time::Duration};

use kiln_proto::{
    ids::{NodeId, ShardId},
    v1::{self, NodeRole, NodeStatus, cluster_service_server::ClusterService},
};
use tonic::{Request, Response, Status};

use crate::{edge::Api, managers::ManagerClient, route::Map};

/// How long the status of the cluster waits for the shards to say what they store.
const USAGE_PATIENCE: Duration = Duration::from_secs(2);
/// How long an operator's wish waits for managers that can take it: longer than an election takes.
const MANAGERS_PATIENCE: Duration = Duration::from_secs(10);

/// `kiln.v1.ClusterService`.
pub(super) struct Cluster(pub(super) Arc<Api>);

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn get_cluster_status(
        &self,
        _request: Request<v1::GetClusterStatusRequest>,
    ) -> Result<Response<v1::GetClusterStatusResponse>, Status> {
        Ok(Response::new(status_with_usage(&self.0).await))
    }

    async fn list_nodes(
        &self,
        _request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        let map = self.0.router.view.map();
        Ok(Response::new(v1::ListNodesResponse {
            nodes: map.wire.nodes.clone(),
        }))
    }

    async fn list_shards(
        &self,
        _request: Request<v1::ListShardsRequest>,
    ) -> Result<Response<v1::ListShardsResponse>, Status> {
        let map = self.0.router.view.map();
        let shards = map
            .wire
            .shards
            .iter()
            .map(|placement| self.shard_info(placement))
            .collect();
        Ok(Response::new(v1::ListShardsResponse { shards }))
    }

    async fn get_routes(
        &self,
        _request: Request<v1::GetRoutesRequest>,
    ) -> Result<Response<v1::GetRoutesResponse>, Status> {
        let view = &self.0.router.view;
        let map = view.map();
        let route = |placement: &v1::ShardPlacement| {
            let seen = self
                .0
                .router
                .shards
                .leader(ShardId(placement.shard))
                .or(view.owner(ShardId(placement.shard)));
            v1::ShardRoute {
                replicas: placement.replicas.clone(),
                owner: seen.map_or(placement.reported_owner, |owner| owner.0),
            }
        };
        let address = |node: &v1::NodeInfo| v1::NodeAddress {
            node_id: node.node_id,
            address: node.address.clone(),
        };
        Ok(Response::new(v1::GetRoutesResponse {
            map_version: map.wire.version,
            shards: map.wire.shards.iter().map(route).collect(),
            nodes: map.wire.nodes.iter().map(address).collect(),
        }))
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeResponse>, Status> {
        let request = request.into_inner();
        let ask = |mut manager: ManagerClient| async move { manager.drain_node(request).await };
        let managers = &self.0.managers;
        Ok(Response::new(managers.call(MANAGERS_PATIENCE, ask).await?))
    }

    async fn rebalance(
        &self,
        request: Request<v1::RebalanceRequest>,
    ) -> Result<Response<v1::RebalanceResponse>, Status> {
        let request = request.into_inner();
        let ask = |mut manager: ManagerClient| async move { manager.rebalance(request).await };
        let managers = &self.0.managers;
        Ok(Response::new(managers.call(MANAGERS_PATIENCE, ask).await?))
    }

    async fn get_stats(
        &self,
        _request: Request<v1::GetStatsRequest>,
    ) -> Result<Response<v1::GetStatsResponse>, Status> {
        let mut response = v1::GetStatsResponse {
            pid: std::process::id(),
            ..Default::default()
        };
        if let Some(store) = self.0.router.shards.store() {
            let stats = store.stats();
            response.node_id = store.node_id().0;
            response.commits = stats.operations;
            response.log_syncs = stats.log_syncs;
            response.log_entries = stats.log_entries;
            response.log_bytes = stats.log_bytes;
            response.applied = stats.applied;
        }
        Ok(Response::new(response))
    }
}

impl Cluster {
    /// What the managers were told; for a shard that this node owns, what it knows itself.
    fn shard_info(&self, placement: &v1::ShardPlacement) -> v1::ShardInfo {
        let mut info = v1::ShardInfo {
            shard: placement.shard,
            owner: placement.reported_owner,
            epoch: placement.reported_epoch,
            replicas: placement.replicas.clone(),
            applied_index: placement.reported_applied_index,
        };
        let shards = &self.0.router.shards;
        if let (Some(owned), Some(node)) = (shards.owned(ShardId(placement.shard)), shards.node_id()) {
            info.owner = node.0;
            info.epoch = owned.epoch.0;
            info.applied_index = owned.shard.group().applied_index();
        }
        info
    }
}

/// The state of the cluster, with what applications store.
pub(crate) async fn status_with_usage(api: &Api) -> v1::GetClusterStatusResponse {
    let mut status = status(&api.router.view.map());
    // A shard that does not answer must not hold the rest back.
    let usage = tokio::time::timeout(USAGE_PATIENCE, api.storage.usage()).await;
    if let Ok(Ok(usage)) = usage {
        status.storage = usage;
    }
    status
}

/// The state of the cluster as a map tells it.
pub(crate) fn status(map: &Map) -> v1::GetClusterStatusResponse {
    let wire = &map.wire;
    let executes = |node: &&v1::NodeInfo| matches!(node.role(), NodeRole::Executor | NodeRole::All);
    let manages = |node: &&v1::NodeInfo| matches!(node.role(), NodeRole::Manager | NodeRole::All);
    let executors: Vec<&v1::NodeInfo> = wire.nodes.iter().filter(executes).collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let leader = wire.nodes.iter().find(|node| node.manager_leader);
    v1::GetClusterStatusResponse {
        cluster_id: wire.cluster_id.clone(),
        shards: wire.shard_count,
        shards_with_owner: count(
            wire.shards
                .iter()
                .filter(|shard| shard.reported_owner != 0)
                .count(),
        ),
        replication_factor: wire.replication_factor,
        managers: count(wire.nodes.iter().filter(manages).count().max(wire.managers.len())),
        executors_alive: count(
            executors
                .iter()
                .filter(|node| node.status() != NodeStatus::Dead)
                .count(),
        ),
        executors: count(executors.len()),
        manager_leader: leader.map_or(0, |node| node.node_id),
        map_version: wire.version,
        version: kiln_proto::VERSION.to_owned(),
        problems: problems(map),
        storage: Vec::new(),
    }
}

fn problems(map: &Map) -> Vec<String> {
    let wire = &map.wire;
    if !map.is_founded() {
        return vec!["the cluster has not been founded, or no shard manager has answered yet".to_owned()];
    }
    let mut problems = Vec::new();
    let ownerless: Vec<String> = wire
        .shards
        .iter()
        .filter(|shard| shard.reported_owner == 0)
        .map(|shard| shard.shard.to_string())
        .collect();
    if !ownerless.is_empty() {
        problems.push(format!("nobody owns the shards {}", ownerless.join(", ")));
    }
    // An executor that was drained, or replaced, and then went away is missed by nobody.
    let is_missed = |node: &&v1::NodeInfo| {
        node.status() == NodeStatus::Dead && (node.replicas > 0 || node.role() != NodeRole::Executor)
    };
    for node in wire.nodes.iter().filter(is_missed) {
        let name = if node.name.is_empty() {
            NodeId(node.node_id).to_string()
        } else {
            node.name.clone()
        };
        problems.push(format!("node {name} at {} does not report", node.address));
    }
    let factor = wire.replication_factor as usize;
    let thin = wire
        .shards
        .iter()
        .filter(|shard| shard.replicas.len() < factor)
        .count();
    if thin > 0 {
        problems.push(format!("{thin} shards have fewer than {factor} replicas"));
    }
    problems
}
