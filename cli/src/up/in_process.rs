use std::path::Path;

use anyhow::Context;
use futures::future::{join_all, select_all};

use super::topology::{Member, Topology};
use crate::{
    config::Config,
    node::{Listeners, Node},
};

/// All nodes in this process. The first one also serves the public addresses.
pub(super) struct InProcess {
    nodes: Vec<Node>,
}

impl InProcess {
    pub(super) async fn start(
        topology: &Topology,
        data: &Path,
        config: &Config,
        public: Listeners,
    ) -> anyhow::Result<Self> {
        let mut public = Some(public);
        let mut nodes = Vec::new();
        for member in &topology.nodes {
            let config = config_of(member, topology, data, config);
            let mut listeners = Listeners::bind(&member.address, "").await?;
            if let Some(public) = public.take() {
                listeners.join(public);
            }
            let node = Node::start(&config, listeners).await;
            nodes.push(node.with_context(|| format!("start {}", member.name))?);
        }
        Ok(Self { nodes })
    }

    /// Returns when a node has failed for good.
    pub(super) async fn failure(&mut self) -> anyhow::Result<()> {
        select_all(self.nodes.iter_mut().map(|node| Box::pin(node.failure())))
            .await
            .0
    }

    pub(super) async fn stop(self) {
        join_all(self.nodes.into_iter().map(Node::stop)).await;
    }
}

/// The settings of one node: those of all, and what the topology says of it.
pub(super) fn config_of(member: &Member, topology: &Topology, data: &Path, config: &Config) -> Config {
    let mut config = config.clone();
    config.node.role = member.role;
    config.node.name.clone_from(&member.name);
    config.node.data = data.join(&member.name);
    config.node.listen.clone_from(&member.address);
    config.node.advertise.clone_from(&member.address);
    config.node.http.clear();
    config.cluster.managers = topology.managers();
    config
}
