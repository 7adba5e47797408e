use std::sync::{Arc, OnceLock};

use kiln_proto::Error;

use crate::{
    Limits,
    host::{Cluster, Storage},
    metrics::Metrics,
    registry::Registry,
    route::ClusterView,
    telemetry::Telemetry,
    worker::Residency,
};

/// What all shards and workers of a node share.
pub(crate) struct Context {
    pub(crate) registry: Arc<Registry>,
    pub(crate) view: Arc<ClusterView>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) residency: Residency,
    pub(crate) telemetry: Telemetry,
    /// The way from a worker to others; there once the node has started.
    pub(crate) way_out: OnceLock<Arc<dyn Cluster>>,
    /// Chunks of blobs that are being replicated from here.
    pub(crate) chunk_slots: tokio::sync::Semaphore,
    /// Keys and blobs of the cluster; there once the node has started.
    pub(crate) storage: OnceLock<Arc<dyn Storage>>,
}

impl Context {
    /// What workers and shards of this node may ask of the cluster.
    ///
    /// # Errors
    /// `UNAVAILABLE` while the node starts.
    pub(crate) fn cluster(&self) -> Result<&Arc<dyn Cluster>, Error> {
        self.way_out
            .get()
            .ok_or_else(|| Error::unavailable("the node is still starting"))
    }

    /// Keys and blobs of the cluster.
    ///
    /// # Errors
    /// `UNAVAILABLE` while the node starts.
    pub(crate) fn storage(&self) -> Result<Arc<dyn Storage>, Error> {
        let storage = self.storage.get().cloned();
        storage.ok_or_else(|| Error::unavailable("the node is still starting"))
    }
}
