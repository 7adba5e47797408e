//! One node: its store, its manager and executor, and the listeners they serve on.

mod listeners;

pub(crate) use listeners::Listeners;

use crate::config::Config;

/// A running node.
pub(crate) struct Node {}

impl Node {
    pub(crate) async fn start(_config: &Config, _listeners: Listeners) -> anyhow::Result<Self> {
        anyhow::bail!("not yet")
    }

    pub(crate) async fn start_edge(_config: &Config, _listeners: Listeners) -> anyhow::Result<Self> {
        anyhow::bail!("not yet")
    }

    pub(crate) async fn failure(&mut self) -> anyhow::Result<()> {
        std::future::pending().await
    }

    pub(crate) async fn stop(self) {}
}
