//! Managers that can be killed: each has a runtime of its own, which ends with all its tasks and connections.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use kiln_proto::{Error, ErrorCode, v1};
use kiln_shard_manager::{Manager, Options};
use kiln_store::Store;
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use v1::shard_manager_service_client::ShardManagerServiceClient;

pub(crate) type Client = ShardManagerServiceClient<Channel>;

pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// Some managers and their data.
pub(crate) struct Managers {
    pub folder: TempDir,
    pub nodes: Vec<Option<Node>>,
    pub addresses: Vec<String>,
}

pub(crate) struct Node {
    runtime: Runtime,
    manager: Manager,
}

impl Managers {
    pub(crate) async fn start(count: usize) -> Self {
        let mut managers = Self {
            folder: TempDir::new().expect("a folder"),
            nodes: Vec::new(),
            addresses: vec![String::new(); count],
        };
        for index in 0..count {
            managers.nodes.push(None);
            managers.restart(index).await;
        }
        managers
    }

    /// Managers of a cluster that has been founded.
    pub(crate) async fn founded(count: usize, shards: u32, replication_factor: u32) -> Self {
        let managers = Self::start(count).await;
        let request = v1::BootstrapRequest {
            managers: managers.addresses.clone(),
            shards,
            replication_factor,
        };
        managers.client(0).bootstrap(request).await.expect("founded");
        managers
    }

    /// Starts a manager on its data, at its old address if it had one.
    pub(crate) async fn restart(&mut self, index: usize) {
        let path = self.folder.path().join(index.to_string());
        let address = match self.addresses[index].as_str() {
            "" => "127.0.0.1:0".to_owned(),
            known => known.to_owned(),
        };
        let others = self
            .addresses
            .iter()
            .filter(|address| !address.is_empty())
            .cloned()
            .collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        let serving = tokio::task::spawn_blocking(move || handle.block_on(serve(path, address, others)));
        let (address, manager) = serving.await.expect("started");
        self.addresses[index] = address.to_string();
        self.nodes[index] = Some(Node { runtime, manager });
    }

    /// Ends a manager at once, as if its process had been killed.
    pub(crate) async fn kill(&mut self, index: usize) {
        if let Some(node) = self.nodes[index].take() {
            node.runtime.shutdown_background();
            // All tasks and connections are gone; this only frees the data folder.
            node.manager.shutdown().await;
        }
    }

    pub(crate) fn client(&self, index: usize) -> Client {
        connect(&self.addresses[index])
    }

    /// Which one leads, by the map.
    pub(crate) async fn leader(&self) -> usize {
        let running = self.nodes.iter().position(Option::is_some).expect("one runs");
        let map = until(async || {
            let map = self
                .client(running)
                .get_map(v1::GetMapRequest {})
                .await
                .ok()?
                .into_inner();
            map.nodes.iter().any(|node| node.manager_leader).then_some(map)
        });
        let leader = map
            .await
            .nodes
            .into_iter()
            .find(|node| node.manager_leader)
            .expect("one leads");
        self.addresses
            .iter()
            .position(|address| *address == leader.address)
            .expect("it is one of ours")
    }
}

impl Drop for Managers {
    fn drop(&mut self) {
        self.nodes
            .drain(..)
            .flatten()
            .for_each(|node| node.runtime.shutdown_background());
    }
}

async fn serve(path: PathBuf, address: String, managers: Vec<String>) -> (SocketAddr, Manager) {
    let store = until(async || Store::open(kiln_store::Options::new(&path)).await.ok()).await;
    let listener = until(async || TcpListener::bind(&address).await.ok()).await;
    let address = listener.local_addr().expect("an address");
    let options = Options {
        address: address.to_string(),
        managers,
        lease: Duration::from_millis(800),
        report_interval: Duration::from_millis(200),
        settling_time: Duration::from_millis(200),
        replace_after: Duration::from_millis(1600),
        plan_interval: Duration::from_millis(100),
        ..Options::default()
    };
    let manager = Manager::start(&store, options).await.expect("a manager");
    let server = Server::builder()
        .add_service(store.raft_service())
        .add_service(manager.service());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, manager)
}

pub(crate) fn connect(address: &str) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    ShardManagerServiceClient::new(endpoint.connect_lazy())
}

/// Waits for something, up to the deadline.
pub(crate) async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The code and the text of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) -> (ErrorCode, String) {
    let error = Error::from(answer.expect_err("a refusal"));
    (error.code, error.message)
}
