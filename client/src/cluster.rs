//! Calls about the cluster.

use kiln_proto::{
    Error,
    v1::{
        BootstrapRequest, DrainNodeRequest, GetClusterStatusRequest, GetClusterStatusResponse,
        GetRoutesRequest, GetRoutesResponse, GetStatsRequest, GetStatsResponse, ListNodesRequest,
        ListShardsRequest, NodeInfo, RebalanceRequest, ShardInfo,
        shard_manager_service_client::ShardManagerServiceClient,
    },
};

use crate::Client;

impl Client {
    /// How the cluster is.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nobody answers.
    pub async fn cluster_status(&self) -> Result<GetClusterStatusResponse, Error> {
        self.call(GetClusterStatusRequest {}, |channel, request| async move {
            self.clusters(channel).get_cluster_status(request).await
        })
        .await
    }

    /// All nodes that have ever joined and not left.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nobody answers.
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, Error> {
        self.call(ListNodesRequest {}, |channel, request| async move {
            self.clusters(channel).list_nodes(request).await
        })
        .await
        .map(|response| response.nodes)
    }

    /// All shards, in order.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nobody answers.
    pub async fn shards(&self) -> Result<Vec<ShardInfo>, Error> {
        self.call(ListShardsRequest {}, |channel, request| async move {
            self.clusters(channel).list_shards(request).await
        })
        .await
        .map(|response| response.shards)
    }

    /// Who owns which shard.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nobody answers.
    pub async fn routing_map(&self) -> Result<GetRoutesResponse, Error> {
        let routes = self
            .call(GetRoutesRequest {}, |channel, request| async move {
                self.clusters(channel).get_routes(request).await
            })
            .await?;
        self.routes().learn(&routes);
        Ok(routes)
    }

    /// Marks an executor, so that its shards are moved away, or with `undo` lets it have some again.
    ///
    /// # Errors
    /// `NOT_FOUND` without such an executor; `CONFLICT` when the others could not hold all replicas.
    pub async fn drain_node(&self, node_id: u64, undo: bool) -> Result<(), Error> {
        self.call(
            DrainNodeRequest { node_id, undo },
            |channel, request| async move { self.clusters(channel).drain_node(request).await },
        )
        .await
        .map(|_| ())
    }

    /// Has the managers look again at how replicas and owners are spread. Returns how many shards are still to be moved.
    ///
    /// # Errors
    /// `UNAVAILABLE` when no manager leads.
    pub async fn rebalance(&self, retry_failed: bool) -> Result<u32, Error> {
        self.call(RebalanceRequest { retry_failed }, |channel, request| async move {
            self.clusters(channel).rebalance(request).await
        })
        .await
        .map(|response| response.shards_left)
    }

    /// Counters of the node that answers.
    ///
    /// # Errors
    /// `UNAVAILABLE` when nobody answers.
    pub async fn stats(&self) -> Result<GetStatsResponse, Error> {
        self.call(GetStatsRequest {}, |channel, request| async move {
            self.clusters(channel).get_stats(request).await
        })
        .await
    }

    /// Founds a cluster. The endpoints must be managers. Returns the cluster's id.
    ///
    /// # Errors
    /// `CONFLICT` the second time.
    pub async fn bootstrap(&self, request: BootstrapRequest) -> Result<String, Error> {
        self.call(request, |channel, request| async move {
            ShardManagerServiceClient::new(channel).bootstrap(request).await
        })
        .await
        .map(|response| response.cluster_id)
    }
}
