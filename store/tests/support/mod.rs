//! Nodes in this process, with real gRPC between them, and oplogs to write.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test binary includes this module and uses a part of it"
)]

mod entries;

use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
pub use entries::{create, encode, invocation, worker};
use kiln_proto::{
    ids::{NodeId, OplogIndex, ShardId, WorkerId},
    v1::{OplogEntry, WorkerRecord},
};
use kiln_store::{AccessPath, Error, Options, Shard, Store};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;

pub const SHARD: ShardId = ShardId(0);

/// Waits until `check` gives a value, for at most 10 seconds.
pub async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = check() {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("not within 10 seconds: {what}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One node: a store behind a gRPC server on a loopback port.
pub struct Node {
    pub store: Store,
    pub shard: Shard,
    pub address: String,
    server: JoinHandle<()>,
}

impl Node {
    pub async fn start(options: Options) -> Result<Self> {
        let store = reopen(options).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let server = tonic::transport::Server::builder()
            .add_service(store.raft_service())
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.expect("the server runs until it is aborted") });
        let shard = Shard::start(&store, SHARD).await?;
        Ok(Self {
            store,
            shard,
            address,
            server,
        })
    }

    pub fn id(&self) -> NodeId {
        self.store.node_id()
    }

    /// Cuts the node off at once, as far as that goes within a process, then lets its data folder go.
    pub async fn stop(self) {
        self.server.abort();
        self.shard.group().stop().await;
        self.store.shutdown().await;
    }

    pub fn leads(&self) -> bool {
        self.shard.group().leadership().borrow().is_self
    }
}

/// Opens a data folder. Within one process its former user may still be letting it go.
async fn reopen(options: Options) -> Result<Store> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match Store::open(options.clone()).await {
            Ok(store) => return Ok(store),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

pub fn introduce(nodes: &[&Node]) {
    for node in nodes {
        for other in nodes {
            node.store.peers().set(other.id(), &other.address);
        }
    }
}

pub fn options(path: &Path) -> Options {
    Options {
        write_buffer_bytes: 16 << 20,
        block_cache_bytes: 8 << 20,
        ..Options::new(path)
    }
}

/// A single node that owns the shard.
pub async fn single(path: &Path) -> Result<Node> {
    let node = Node::start(options(path)).await?;
    node.shard.group().initialize(&[node.id()]).await?;
    eventually("the single node leads", || node.leads().then_some(())).await?;
    Ok(node)
}

/// Reads a whole oplog and checks that it is contiguous from 1.
pub fn oplog(shard: &Shard, worker: &WorkerId) -> Result<Vec<OplogEntry>> {
    let entries = shard.read_oplog(worker, OplogIndex::FIRST, usize::MAX, usize::MAX)?;
    entries
        .into_iter()
        .zip(1..)
        .map(|((index, entry), expected)| {
            if index.0 != expected {
                bail!("entry {index} of {worker} is in the place of {expected}");
            }
            OplogEntry::decode(entry).context("an entry decodes")
        })
        .collect()
}

/// All records of a shard, in the order in which the workers were created.
pub fn records(shard: &Shard) -> Result<Vec<WorkerRecord>> {
    let mut records = Vec::new();
    shard.view(|view| {
        view.search::<Error>(&AccessPath::All, None, |hit| {
            records.push(hit.record.unwrap_or_default());
            Ok(ControlFlow::Continue(()))
        })
    })?;
    records
        .into_iter()
        .map(|record| WorkerRecord::decode(record).context("a record decodes"))
        .collect()
}
