use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{
    child::{Child, Command},
    topology::{Member, Topology},
};
use crate::{
    config::{Config, Role},
    node::{Listeners, Node},
};

/// Each manager and executor in a child process, and a stateless edge in this one.
pub(super) struct Processes {
    edge: Node,
    children: Vec<Child>,
}

impl Processes {
    pub(super) async fn start(
        topology: &Topology,
        data: &Path,
        config: &Config,
        config_file: Option<&Path>,
        public: Listeners,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let managers = topology.managers().join(",");
        let (grpc, http) = public.addresses()?;
        let edges = [grpc, http].into_iter().filter(|address| !address.is_empty());
        let edges = config.cluster.edges.iter().cloned().chain(edges);
        let lists = Lists {
            managers: &managers,
            edges: &edges.collect::<Vec<_>>().join(","),
        };
        let children = topology
            .nodes
            .iter()
            .map(|member| Child::start(command(&program, member, lists, data, config, config_file)))
            .collect::<Result<_, _>>()?;
        let mut edge_config = config.clone();
        edge_config.node.name = "edge".to_owned();
        edge_config.node.data = data.join("edge");
        edge_config.cluster.managers = topology.managers();
        let edge = Node::start_edge(&edge_config, public)
            .await
            .context("start the edge")?;
        Ok(Self { edge, children })
    }

    /// Returns when the edge has failed; children are started again.
    pub(super) async fn failure(&mut self) -> anyhow::Result<()> {
        self.edge.failure().await
    }

    pub(super) async fn stop(self) {
        self.edge.stop().await;
        // All are told before any is waited for.
        self.children.iter().for_each(Child::stop);
        let waited = tokio::task::spawn_blocking(move || self.children.into_iter().for_each(Child::wait));
        if waited.await.is_err() {
            tracing::error!("a child process was not waited for");
        }
    }
}

/// Addresses that all children are told, separated by commas.
#[derive(Clone, Copy)]
struct Lists<'a> {
    managers: &'a str,
    edges: &'a str,
}

fn command(
    program: &Path,
    member: &Member,
    lists: Lists<'_>,
    data: &Path,
    config: &Config,
    config_file: Option<&Path>,
) -> Command {
    let role = if member.role == Role::Manager {
        "manager"
    } else {
        "executor"
    };
    let folder: PathBuf = data.join(&member.name);
    let mut arguments: Vec<String> = [
        "server",
        "--role",
        role,
        "--name",
        &member.name,
        "--managers",
        lists.managers,
        "--edges",
        lists.edges,
    ]
    .map(str::to_owned)
    .into();
    arguments.extend([
        "--listen".into(),
        member.address.clone(),
        "--advertise".into(),
        member.address.clone(),
    ]);
    arguments.extend([
        "--http".into(),
        String::new(),
        "--data".into(),
        folder.to_string_lossy().into_owned(),
    ]);
    arguments.extend(["--log-level".into(), config.log.level.clone()]);
    arguments.extend(["--parent".into(), std::process::id().to_string()]);
    if let Some(file) = config_file {
        arguments.extend(["--config".into(), file.to_string_lossy().into_owned()]);
    }
    Command {
        name: member.name.clone(),
        program: program.to_owned(),
        arguments,
    }
}
