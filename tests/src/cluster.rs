//! Managers and executors with their own data folders, founded and ready.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kiln_proto::v1::{
    self, cluster_service_client::ClusterServiceClient, worker_service_client::WorkerServiceClient,
};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::guests;
use crate::kiln::Kiln;
use crate::node::{Node, Role};
use crate::wait::eventually;

/// How long a cluster may take until every shard has an owner, from nothing or after all nodes were killed.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How large a cluster is.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// 1, 3 or 5.
    pub managers: usize,
    /// Executors.
    pub executors: usize,
    /// A power of two.
    pub shards: u32,
    /// Copies of each shard.
    pub replication_factor: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            managers: 3,
            executors: 3,
            shards: 8,
            replication_factor: 3,
        }
    }
}

/// A running cluster. Its processes end with it; its data is kept for a look when the test did not finish.
#[derive(Debug)]
pub struct Cluster {
    shape: Shape,
    nodes: Vec<Node>,
    folder: Option<TempDir>,
}

impl Cluster {
    /// Starts the processes, founds the cluster and waits until every shard has an owner.
    ///
    /// # Errors
    /// A step failed or took too long; the nodes' last log lines are part of the message.
    pub async fn start(shape: Shape) -> Result<Self> {
        Self::start_with(shape, &[]).await
    }

    /// As [`Cluster::start`], with settings for all nodes: environment variables `KILN_A__B` and their values.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_with(shape: Shape, settings: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kiln-test-").tempdir()?;
        let mut nodes = Vec::new();
        for number in 1..=shape.managers {
            nodes.push(Node::new(Role::Manager, number, folder.path())?);
        }
        for number in 1..=shape.executors {
            nodes.push(Node::new(Role::Executor, number, folder.path())?);
        }
        for (variable, value) in settings {
            nodes.iter_mut().for_each(|node| node.set(variable, value));
        }
        let mut cluster = Self {
            shape,
            nodes,
            folder: Some(folder),
        };
        cluster.start_all()?;
        let founded = cluster.bootstrap().await;
        cluster.explain(founded)?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// A three-by-three cluster that has the guest `name` as a component of the same name.
    ///
    /// # Errors
    /// As [`Cluster::start`], or the component was refused.
    pub async fn with_component(name: &str) -> Result<Self> {
        let cluster = Self::start(Shape::default()).await?;
        cluster.add_component(name, &guests::path(name)).await?;
        Ok(cluster)
    }

    /// Uploads a component.
    ///
    /// # Errors
    /// It was refused.
    pub async fn add_component(&self, name: &str, file: &Path) -> Result<()> {
        let file = file.to_str().context("a path in UTF-8")?;
        self.kiln(1)?.json(&["component", "add", name, file]).await?;
        Ok(())
    }

    /// Uploads the next version of a component.
    ///
    /// # Errors
    /// It was refused.
    pub async fn update_component(&self, name: &str, file: &Path) -> Result<()> {
        let file = file.to_str().context("a path in UTF-8")?;
        self.kiln(1)?.json(&["component", "update", name, file]).await?;
        Ok(())
    }

    /// Waits until all executors are alive and every shard has an owner.
    ///
    /// # Errors
    /// That did not happen in time.
    pub async fn ready(&mut self) -> Result<()> {
        let (executors, shards) = (u32::try_from(self.shape.executors)?, self.shape.shards);
        let channel = lazy_channel(&self.executor(1).endpoint())?;
        let ready = eventually("all shards have an owner", READY_WITHIN, async || {
            let status = status(channel.clone()).await?;
            ensure!(
                status.executors_alive == executors,
                "{} executors alive",
                status.executors_alive
            );
            ensure!(
                status.shards_with_owner == shards,
                "{} shards owned",
                status.shards_with_owner
            );
            Ok(Some(()))
        });
        let ready = ready.await;
        self.explain(ready)
    }

    /// The managers' addresses as every node and `cluster bootstrap` want them.
    #[must_use]
    pub fn managers(&self) -> String {
        let managers = self.nodes.iter().filter(|node| node.role == Role::Manager);
        managers
            .map(|node| node.address.to_string())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// All nodes, managers first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The executor with this number, from 1.
    ///
    /// # Panics
    /// There are fewer.
    #[must_use]
    pub fn executor(&self, number: usize) -> &Node {
        &self.nodes[self.shape.managers + number - 1]
    }

    /// Positions in [`Cluster::nodes`] of all executors.
    #[must_use]
    pub fn executors(&self) -> std::ops::Range<usize> {
        self.shape.managers..self.nodes.len()
    }

    /// URLs of all executors.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        (1..=self.shape.executors)
            .map(|number| self.executor(number).endpoint())
            .collect()
    }

    /// The command line, pointed at one executor.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn kiln(&self, executor: usize) -> Result<Kiln> {
        Kiln::new(self.executor(executor).endpoint())
    }

    /// Position in [`Cluster::nodes`] of the executor that leads the worker's shard.
    ///
    /// # Errors
    /// The cluster cannot tell.
    pub async fn owner_of(&self, component: &str, worker: &str) -> Result<usize> {
        let channel = lazy_channel(&self.executor(1).endpoint())?;
        let reference = v1::WorkerRef {
            component: component.to_owned(),
            worker: worker.to_owned(),
        };
        let request = v1::GetWorkerRequest {
            worker: Some(reference),
        };
        let answer = WorkerServiceClient::new(channel.clone())
            .get_worker(request)
            .await?
            .into_inner();
        let shard = answer.worker.context("an answer describes the worker")?.shard;
        let routes = ClusterServiceClient::new(channel)
            .get_routes(v1::GetRoutesRequest {})
            .await?
            .into_inner();
        let owner = routes
            .shards
            .get(usize::try_from(shard)?)
            .context("the shard is in the map")?
            .owner;
        self.position_of(owner).await
    }

    /// Position of the manager that leads the control plane.
    ///
    /// # Errors
    /// The cluster cannot tell.
    pub async fn manager_leader(&self) -> Result<usize> {
        for endpoint in self.endpoints() {
            let Ok(status) = status(lazy_channel(&endpoint)?).await else {
                continue;
            };
            if status.manager_leader != 0 {
                return self.position_of(status.manager_leader).await;
            }
        }
        bail!("no executor knows the leading manager");
    }

    /// Position of the node with this id.
    async fn position_of(&self, node_id: u64) -> Result<usize> {
        for endpoint in self.endpoints() {
            let mut cluster = ClusterServiceClient::new(lazy_channel(&endpoint)?);
            let Ok(answer) = cluster.list_nodes(v1::ListNodesRequest {}).await else {
                continue;
            };
            let known = answer
                .into_inner()
                .nodes
                .into_iter()
                .find(|node| node.node_id == node_id);
            let address = known
                .with_context(|| format!("node {node_id} is in the list"))?
                .address;
            let position = self
                .nodes
                .iter()
                .position(|node| node.address.to_string() == address);
            return position.with_context(|| format!("{address} is a node of this test"));
        }
        bail!("no executor lists the nodes");
    }

    /// Kills the node that is this process as `kill -9` does, and starts it again. One that was struck before has another
    /// process by now, and is left alone.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn strike(&mut self, pid: u32) -> Result<()> {
        let Some(position) = self.nodes.iter().position(|node| node.pid() == Some(pid)) else {
            return Ok(());
        };
        self.kill(position)?;
        self.restart(position)
    }

    /// Kills a node as `kill -9` does.
    ///
    /// # Errors
    /// Its process cannot be waited for.
    pub fn kill(&mut self, position: usize) -> Result<()> {
        self.nodes[position].kill()
    }

    /// Starts a node again that was killed.
    ///
    /// # Errors
    /// Its process cannot be started.
    pub fn restart(&mut self, position: usize) -> Result<()> {
        let managers = self.managers();
        self.nodes[position].start(&managers)
    }

    /// Stops a node's threads where they are, as SIGSTOP does.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self, position: usize) -> Result<()> {
        self.nodes[position].pause()
    }

    /// Lets a node go on after [`Cluster::pause`].
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self, position: usize) -> Result<()> {
        self.nodes[position].resume()
    }

    /// Kills every process at once, as a power failure does.
    ///
    /// # Errors
    /// A process cannot be waited for.
    pub fn kill_all(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::kill)
    }

    /// Starts every node.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start_all(&mut self) -> Result<()> {
        let managers = self.managers();
        self.nodes.iter_mut().try_for_each(|node| node.start(&managers))
    }

    /// Ends a test that went well: no node may have ended by itself, and the data goes away.
    ///
    /// # Errors
    /// A node crashed.
    pub fn finish(mut self) -> Result<()> {
        for node in &mut self.nodes {
            if node.has_crashed()? {
                bail!("{} crashed:\n{}", node.name, node.log_tail());
            }
            node.kill()?;
        }
        drop(self.folder.take());
        Ok(())
    }

    async fn bootstrap(&self) -> Result<()> {
        let kiln = self.kiln(1)?;
        let (managers, shards) = (self.managers(), self.shape.shards.to_string());
        let factor = self.shape.replication_factor.to_string();
        eventually("the cluster is founded", READY_WITHIN, async || {
            let command = [
                "cluster",
                "bootstrap",
                "--managers",
                &managers,
                "--shards",
                &shards,
            ];
            let outcome = kiln
                .run(&[&command[..], &["--replication-factor", &factor]].concat())
                .await?;
            // 4: an earlier try founded it, and its answer was lost.
            ensure!(
                matches!(outcome.code, 0 | 4),
                "exit code {}: {}",
                outcome.code,
                outcome.stderr
            );
            Ok(Some(()))
        })
        .await
    }

    /// Adds the end of every node's log to an error.
    fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| {
            let tails = self
                .nodes
                .iter()
                .map(|node| format!("--- {}\n{}", node.name, node.log_tail()));
            tails.collect::<Vec<_>>().join("\n")
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            let kept: PathBuf = folder.keep();
            eprintln!(
                "the data and logs of the unfinished test are kept in {}",
                kept.display()
            );
        }
    }
}

/// A connection that is made when it is used, and again when it breaks.
///
/// # Errors
/// `endpoint` is no URL.
pub fn lazy_channel(endpoint: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned())?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(1))
        .timeout(Duration::from_secs(10))
        .connect_lazy())
}

async fn status(channel: Channel) -> Result<v1::GetClusterStatusResponse> {
    let mut cluster = ClusterServiceClient::new(channel);
    Ok(cluster
        .get_cluster_status(v1::GetClusterStatusRequest {})
        .await?
        .into_inner())
}
