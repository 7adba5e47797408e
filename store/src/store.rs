use std::{
    collections::HashSet,
    fs::{self, File},
    path::PathBuf,
    sync::Arc,
};

use kiln_proto::{
    ids::{GroupId, NodeId},
    v1::raft_service_server::{RaftService, RaftServiceServer},
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{
    Error, Group, Machine, Options, Peers, Stats,
    engine::{LogDb, StateDb, log_db::Fact},
    raft::{self, LogWriter, Maintenance, Ports, Service, TailMemory, Transport},
    stats::Counters,
};

const NODE_ID: &[u8] = b"id";
const CLUSTER_ID: &[u8] = b"cluster";

/// A node's storage: all groups that have a replica here.
#[derive(Clone)]
pub struct Store {
    node: Arc<Node>,
}

/// What all groups of a node share.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) options: Options,
    pub(crate) config: Arc<raft::Config>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) log: Arc<LogDb>,
    pub(crate) state: Arc<StateDb>,
    pub(crate) writer: LogWriter,
    pub(crate) peers: Peers,
    pub(crate) transport: Arc<Transport>,
    pub(crate) ports: Ports,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tails: Arc<TailMemory>,
    /// Folder of snapshots that are being received or installed.
    pub(crate) snapshots: PathBuf,
    pub(crate) running: Mutex<HashSet<GroupId>>,
    stopping: watch::Sender<bool>,
    /// Keeps a second process off the data folder.
    _lock: File,
}

/// Who this node is.
pub(crate) struct Identity {
    pub(crate) node: NodeId,
    cluster: RwLock<Option<String>>,
}

impl Identity {
    pub(crate) fn cluster(&self) -> Option<String> {
        self.cluster.read().clone()
    }
}

impl Store {
    /// Opens a node's data folder, or makes an empty one under a new identity.
    ///
    /// # Errors
    /// `Conflict` when another process uses the folder; `Corrupt` when what was acknowledged is not there.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking(|| Databases::open(options));
        let Databases {
            options,
            log,
            state,
            snapshots,
            lock,
        } = opened.await.map_err(|_| Error::Stopped)??;
        let counters = Arc::new(Counters::default());
        let writer = LogWriter::start(Arc::clone(&log), Arc::clone(&counters))?;
        let id = node_id(&log, &writer).await?;
        let identity = Arc::new(Identity {
            node: id,
            cluster: RwLock::new(log.node_fact_text(CLUSTER_ID)?),
        });
        let peers = Peers::open(&log, writer.clone())?;
        let tails = Arc::new(TailMemory::new(options.log_tail_bytes));
        let node = Arc::new(Node {
            id,
            config: Arc::new(raft::config(&options)?),
            options,
            identity,
            log,
            state,
            writer,
            transport: Arc::new(Transport::new(id, peers.clone())),
            peers,
            tails,
            ports: Ports::default(),
            counters,
            snapshots,
            running: Mutex::default(),
            stopping: watch::Sender::new(false),
            _lock: lock,
        });
        tokio::spawn(Maintenance::run(Arc::clone(&node), node.stopping.subscribe()));
        Ok(Self { node })
    }

    /// This node's identity.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.node.id
    }

    /// The cluster that this node belongs to, once it has joined one.
    #[must_use]
    pub fn cluster_id(&self) -> Option<String> {
        self.node.identity.cluster()
    }

    /// Makes this node a member of a cluster, for ever.
    ///
    /// # Errors
    /// `Conflict` when it belongs to another.
    pub async fn join_cluster(&self, id: &str) -> Result<(), Error> {
        {
            let mut cluster = self.node.identity.cluster.write();
            match &*cluster {
                Some(current) if current == id => return Ok(()),
                Some(current) => {
                    return Err(Error::Conflict(format!(
                        "this node belongs to cluster {current}, not {id}"
                    )));
                }
                None => *cluster = Some(id.to_owned()),
            }
        }
        self.node.writer.put_node_fact(CLUSTER_ID, id.as_bytes()).await
    }

    /// The receiving end of the Raft transport, to be mounted on the node's gRPC server.
    #[must_use]
    pub fn raft_service(&self) -> RaftServiceServer<impl RaftService> {
        let service = Service {
            identity: Arc::clone(&self.node.identity),
            ports: self.node.ports.clone(),
            snapshots: self.node.snapshots.clone(),
        };
        service.into_server()
    }

    /// Where the other nodes can be reached.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.node.peers
    }

    /// Starts a group's replica: resumes it from disk, or begins an empty one.
    ///
    /// # Errors
    /// `Running` when it runs already; `Corrupt` when what is on disk does not check out.
    pub async fn start_group<M: Machine>(&self, group: GroupId, machine: M) -> Result<Group<M>, Error> {
        if !self.node.running.lock().insert(group) {
            return Err(Error::Running(group));
        }
        let started = Group::start(Arc::clone(&self.node), group, machine).await;
        if started.is_err() {
            self.node.running.lock().remove(&group);
        }
        started
    }

    /// Groups that have data on this node.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn groups_on_disk(&self) -> Result<Vec<GroupId>, Error> {
        let mut groups = self.node.log.groups()?;
        groups.extend(self.node.state.groups()?);
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// Makes the state durable now and lets the logs behind it be purged. It happens by itself every
    /// [`flush_interval`](Options::flush_interval).
    ///
    /// # Errors
    /// When the engine cannot write.
    pub async fn flush(&self) -> Result<(), Error> {
        Maintenance::turn(&self.node).await
    }

    /// Stops all groups, then the node's own tasks, and flushes. The data folder is free once the last handle to the
    /// store and to its groups is gone.
    pub async fn shutdown(&self) {
        self.node.stopping.send_replace(true);
        for port in self.node.ports.all() {
            port.stop().await;
        }
        self.node.writer.stop().await;
        let state = Arc::clone(&self.node.state);
        // The flush only saves work at the next start.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || state.flush()).await {
            tracing::warn!(%error, "the state was not flushed at the end");
        }
    }

    /// What this node's store has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.node.counters.read()
    }
}

/// What is opened before any task runs.
struct Databases {
    options: Options,
    log: Arc<LogDb>,
    state: Arc<StateDb>,
    snapshots: PathBuf,
    lock: File,
}

impl Databases {
    fn open(options: Options) -> Result<Self, Error> {
        fs::create_dir_all(&options.path).map_err(Error::io("make the data folder"))?;
        let lock =
            File::create(options.path.join("LOCK")).map_err(Error::io("open the data folder's lock"))?;
        if lock.try_lock().is_err() {
            return Err(Error::Conflict(format!(
                "the data folder {} is used by another process",
                options.path.display()
            )));
        }
        let log = LogDb::open(&options.path.join("raft"))?;
        let state = StateDb::open(&options.path.join("state"), &options)?;
        let snapshots = options.path.join("snapshots");
        fs::create_dir_all(&snapshots).map_err(Error::io("make the snapshot folder"))?;
        sweep(&log, &snapshots)?;
        Ok(Self {
            options,
            log,
            state,
            snapshots,
            lock,
        })
    }
}

/// Removes received snapshots that no installation waits for.
fn sweep(log: &LogDb, snapshots: &PathBuf) -> Result<(), Error> {
    let mut wanted = HashSet::new();
    for group in log.groups()? {
        if let Some(marker) = log.fact(group, Fact::Installing)? {
            wanted.insert(raft::installation_folder(&marker)?);
        }
    }
    for entry in fs::read_dir(snapshots).map_err(Error::io("list received snapshots"))? {
        let entry = entry.map_err(Error::io("list received snapshots"))?;
        if !wanted.contains(entry.file_name().to_string_lossy().as_ref()) {
            fs::remove_dir_all(entry.path()).map_err(Error::io("remove an old snapshot"))?;
        }
    }
    Ok(())
}

async fn node_id(log: &LogDb, writer: &LogWriter) -> Result<NodeId, Error> {
    if let Some(stored) = log.node_fact(NODE_ID)? {
        let id = stored
            .try_into()
            .map_err(|_| Error::Corrupt("the node's id is malformed".into()))?;
        return Ok(NodeId(u64::from_be_bytes(id)));
    }
    let id = NodeId(rand::random_range(1..=u64::MAX));
    writer.put_node_fact(NODE_ID, &id.0.to_be_bytes()).await?;
    Ok(id)
}
