use std::{path::PathBuf, time::Duration};

use kiln_client::Address;
use kiln_executor::BlobPlace;
use serde::{Deserialize, Serialize};

use super::{
    applications::Applications,
    network::{Egress, Http, Text},
    units::{Size, Span},
};
use crate::args::{DEFAULT_GRPC, DEFAULT_HTTP};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) node: Node,
    pub(crate) cluster: Cluster,
    pub(crate) manager: Manager,
    pub(crate) executor: Executor,
    pub(crate) applications: Applications,
    pub(crate) raft: Raft,
    pub(crate) storage: Storage,
    pub(crate) api: Api,
    pub(crate) log: Log,
    pub(crate) telemetry: Telemetry,
}

/// This node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    /// What it does.
    pub(crate) role: Role,
    /// Its name in tables and logs; the host's name when empty.
    pub(crate) name: String,
    /// Its data folder.
    pub(crate) data: PathBuf,
    /// Where it serves gRPC.
    pub(crate) listen: String,
    /// Where others reach it, when that is not where it listens.
    pub(crate) advertise: String,
    /// Where it serves HTTP; nowhere when empty.
    pub(crate) http: String,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// A replica of the control plane
    Manager,
    /// Holds shards, runs workers and serves clients
    Executor,
    /// Both
    All,
}

/// The cluster that the node belongs to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cluster {
    /// gRPC addresses of the managers.
    pub(crate) managers: Vec<String>,
    /// Where the cluster can be reached besides its nodes' own listeners: edges, load balancers. Closed to guests.
    pub(crate) edges: Vec<String>,
}

/// How a shard manager judges nodes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manager {
    /// How long a node counts as alive after its last report.
    pub(crate) lease: Span,
    /// How long a node has to be silent before its replicas are replaced.
    pub(crate) replace_after: Span,
}

/// What an executor may hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Executor {
    /// Workers with an instance in memory.
    pub(crate) loaded_workers_max: usize,
    /// An idle worker is unloaded after this long.
    pub(crate) idle_timeout: Span,
    /// A guest that waits for a moment further away than this, or for a promise, leaves memory meanwhile.
    pub(crate) suspend_after: Span,
    /// Memory of all loaded workers together.
    pub(crate) memory_max: Size,
    /// Largest component accepted.
    pub(crate) component_size_max: Size,
    /// Longest that compiling a component may take.
    pub(crate) compile_time_max: Span,
    /// Most linear memory of one worker.
    pub(crate) worker_memory_max: Size,
    /// Files of one worker, in bytes.
    pub(crate) worker_files_size_max: Size,
    /// Files, folders and links of one worker.
    pub(crate) worker_files_max: u64,
    /// Resources of the host that one worker holds at a time.
    pub(crate) worker_resources_max: usize,
    /// Processor time of one invocation.
    pub(crate) invocation_cpu_max: Span,
    /// What one invocation may write to stdout, stderr and logs.
    pub(crate) invocation_log_max: Size,
    /// Largest message to `wasi:logging`.
    pub(crate) log_message_max: Size,
    /// Strings and lists that one host call takes from the guest.
    pub(crate) host_call_size_max: Size,
    /// Random bytes that one host call gives.
    pub(crate) random_size_max: Size,
    /// Where guests may connect to.
    pub(crate) egress: Egress,
    /// Outgoing HTTP, and HTTP that components serve.
    pub(crate) http: Http,
}

/// Timing of replication.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Raft {
    pub(crate) heartbeat: Span,
    pub(crate) election_min: Span,
    pub(crate) election_max: Span,
}

/// What the storage engine may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Storage {
    pub(crate) block_cache: Size,
    pub(crate) write_buffer: Size,
    /// How often the state is flushed and the log behind it purged.
    pub(crate) flush_interval: Span,
    /// Where the bytes of applications' objects are kept: `shards`, `file:///FOLDER` that all nodes share, or
    /// `s3://BUCKET/PREFIX`. The same on all nodes.
    pub(crate) blobs: Text<BlobPlace>,
}

/// The public interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Api {
    /// Largest message accepted.
    pub(crate) message_size_max: Size,
}

/// What is logged, on stderr.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives like `info,kiln_store=debug`.
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

/// What is told to others about what happens here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Telemetry {
    pub(crate) otlp: Otlp,
}

/// Export of ended invocations as OpenTelemetry spans.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Otlp {
    /// The collector's OTLP/gRPC endpoint, such as `http://127.0.0.1:4317`; nothing is exported when empty.
    pub(crate) endpoint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            role: Role::All,
            name: String::new(),
            data: PathBuf::from("kiln-data"),
            listen: DEFAULT_GRPC.to_owned(),
            advertise: String::new(),
            http: DEFAULT_HTTP.to_owned(),
        }
    }
}

impl Default for Manager {
    fn default() -> Self {
        let manager = kiln_shard_manager::Options::default();
        Self {
            lease: Span(manager.lease),
            replace_after: Span(manager.replace_after),
        }
    }
}

impl Default for Executor {
    fn default() -> Self {
        let limits = kiln_executor::Limits::default();
        let host = kiln_executor::host::HostOptions::default();
        let guest = host.guest;
        Self {
            loaded_workers_max: limits.loaded_workers_max,
            idle_timeout: Span(limits.idle_timeout),
            suspend_after: Span(limits.suspend_after),
            memory_max: Size(limits.memory_bytes_max),
            component_size_max: Size(limits.component_bytes_max as u64),
            compile_time_max: Span(limits.compile_time_max),
            worker_memory_max: Size(host.memory_bytes_max as u64),
            worker_files_size_max: Size(guest.folder_bytes_max),
            worker_files_max: guest.folder_files_max,
            worker_resources_max: guest.resources_max,
            invocation_cpu_max: Span(guest.invocation_cpu_max),
            invocation_log_max: Size(guest.log_bytes_max),
            log_message_max: Size(guest.log_message_bytes_max as u64),
            host_call_size_max: Size(guest.host_call_bytes_max as u64),
            random_size_max: Size(guest.random_bytes_max),
            egress: Egress::default(),
            http: Http::default(),
        }
    }
}

impl Default for Raft {
    fn default() -> Self {
        let store = kiln_store::Options::default();
        Self {
            heartbeat: Span(store.heartbeat_interval),
            election_min: Span(store.election_timeout_min),
            election_max: Span(store.election_timeout_max),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        let store = kiln_store::Options::default();
        Self {
            block_cache: Size(store.block_cache_bytes as u64),
            write_buffer: Size(store.write_buffer_bytes as u64),
            flush_interval: Span(store.flush_interval),
            blobs: Text(BlobPlace::default()),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            message_size_max: Size(32 << 20),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info,openraft=error".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Sentences about values that make no sense, alone or together.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.applications.problems();
        let mut require = |holds: bool, text: &str| {
            if !holds {
                problems.push(text.to_owned());
            }
        };
        let Raft {
            heartbeat,
            election_min,
            election_max,
        } = &self.raft;
        require(
            heartbeat.0 >= Duration::from_millis(10),
            "raft.heartbeat: less than 10ms",
        );
        require(
            election_min.0 >= heartbeat.0 * 2,
            "raft.election_min: less than two heartbeats",
        );
        require(
            election_max.0 > election_min.0,
            "raft.election_max: not more than raft.election_min",
        );
        require(
            self.storage.block_cache.0 >= 1 << 20,
            "storage.block_cache: less than 1MiB",
        );
        require(
            self.storage.write_buffer.0 >= 1 << 20,
            "storage.write_buffer: less than 1MiB",
        );
        require(
            self.api.message_size_max.0 >= 64 << 10,
            "api.message_size_max: less than 64KiB",
        );
        require(
            self.executor.memory_max.0 >= 16 << 20,
            "executor.memory_max: less than 16MiB",
        );
        require(
            self.executor.worker_resources_max >= 100,
            "executor.worker_resources_max: less than 100",
        );
        require(
            self.executor.invocation_cpu_max.0 >= Duration::from_millis(100),
            "executor.invocation_cpu_max: less than 100ms",
        );
        require(
            !self.node.data.as_os_str().is_empty(),
            "node.data: no folder given",
        );
        require(
            self.executor.http.header_size_max.0 >= 8 << 10,
            "executor.http.header_size_max: less than 8KiB",
        );
        require(
            self.executor.http.requests_max > 0 && self.executor.http.requests_per_worker_max > 0,
            "executor.http: no request is allowed",
        );
        let manager_count = self.cluster.managers.len();
        require(
            matches!(manager_count, 0 | 1 | 3 | 5),
            "cluster.managers: there must be 1, 3 or 5 of them",
        );
        require(
            self.node.role != Role::Executor || manager_count > 0,
            "cluster.managers: an executor needs the managers' addresses",
        );
        let listed = self
            .cluster
            .managers
            .iter()
            .map(|address| ("cluster.managers", address));
        let edges = self
            .cluster
            .edges
            .iter()
            .map(|address| ("cluster.edges", address));
        let listed = listed.chain(edges);
        let own = [
            ("node.listen", &self.node.listen),
            ("node.advertise", &self.node.advertise),
            ("node.http", &self.node.http),
        ];
        for (key, address) in listed.chain(own.into_iter().filter(|(_, address)| !address.is_empty())) {
            if let Err(error) = address.parse::<Address>() {
                problems.push(format!("{key}: {error}"));
            }
        }
        problems
    }
}
