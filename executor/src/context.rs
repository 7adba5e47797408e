use std::sync::Arc;

use crate::{Limits, metrics::Metrics, registry::Registry, route::ClusterView, worker::Residency};

/// What all shards and workers of a node share.
pub(crate) struct Context {
    pub(crate) registry: Arc<Registry>,
    pub(crate) view: Arc<ClusterView>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) residency: Residency,
}
