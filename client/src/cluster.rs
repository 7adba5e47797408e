//! Calls about the cluster.

use kiln_proto::{
    Error,
    v1::{
        BootstrapRequest, GetClusterStatusRequest, GetClusterStatusResponse, GetRoutesRequest,
        GetRoutesResponse, GetStatsRequest, GetStatsResponse, ListNodesRequest, ListShardsRequest, NodeInfo,
        ShardInfo, shard_manager_service_client::ShardManagerServiceClient,
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
