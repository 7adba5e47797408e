use std::{path::PathBuf, time::Duration};

use crate::{
    host::{HostOptions, StorageLimits},
    storage::BlobPlace,
};

/// How an executor runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where other nodes and clients reach this node's gRPC listener, as `host:port`.
    pub address: String,
    /// Everywhere this node listens, as `host:port`, also at addresses that only its own machine can use: closed to guests.
    pub listeners: Vec<String>,
    /// Where the cluster can be reached besides its nodes' own listeners: edges, load balancers. Closed to guests.
    pub edges: Vec<String>,
    /// The node's name for people.
    pub name: String,
    /// Addresses of shard managers; any of them will do, the map names the others.
    pub managers: Vec<String>,
    /// Folder of compiled components.
    pub cache_dir: PathBuf,
    /// What the wasm host may use.
    pub host: HostOptions,
    /// Where ended invocations are exported to by OTLP/gRPC, as `http://host:port`; nowhere without one.
    pub otlp_endpoint: Option<String>,
    /// Where the bytes of applications' objects are kept; the same on all nodes.
    pub blobs: BlobPlace,
    /// What is bounded, and by how much.
    pub limits: Limits,
}

/// Named bounds of everything that could grow.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Workers with an instance in memory; the least recently used idle one makes room for another.
    pub loaded_workers_max: usize,
    /// Memory of all loaded workers together; the least recently used idle ones make room for others.
    pub memory_bytes_max: u64,
    /// An idle worker is unloaded after this long.
    pub idle_timeout: Duration,
    /// Messages that wait at one worker; beyond it callers get `LIMIT_EXCEEDED`.
    pub mailbox_len_max: usize,
    /// Invocations accepted by one worker and not begun.
    pub queue_len_max: usize,
    /// Largest gRPC or HTTP message, except uploads.
    pub message_bytes_max: usize,
    /// Largest component.
    pub component_bytes_max: usize,
    /// Longest that the compilation of a component may take.
    pub compile_time_max: Duration,
    /// Workers of one shard that are recovered at the same time after a change of owner.
    pub recovery_concurrency: usize,
    /// How long a call without a deadline of its own waits for a shard that nobody owns.
    pub unavailable_timeout: Duration,
    /// How long a control call without a deadline of its own may take.
    pub control_timeout: Duration,
    /// An invocation that runs longer is recorded as begun, so that a new owner continues it by itself.
    pub unrecorded_run_max: Duration,
    /// A guest that waits for a moment further away than this, or for a promise, leaves memory meanwhile.
    pub suspend_after: Duration,
    /// What applications may store.
    pub storage: StorageLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: String::new(),
            listeners: Vec::new(),
            edges: Vec::new(),
            name: String::new(),
            managers: Vec::new(),
            cache_dir: PathBuf::from("kiln-data/components"),
            host: HostOptions::default(),
            otlp_endpoint: None,
            blobs: BlobPlace::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            loaded_workers_max: 1000,
            // Four fifths, in whole MiB.
            memory_bytes_max: (crate::memory::available_bytes() / 5 * 4) >> 20 << 20,
            compile_time_max: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(60),
            mailbox_len_max: 1024,
            queue_len_max: 4096,
            message_bytes_max: 16 << 20,
            component_bytes_max: 50 << 20,
            recovery_concurrency: 16,
            unavailable_timeout: Duration::from_secs(30),
            control_timeout: Duration::from_secs(60),
            unrecorded_run_max: Duration::from_millis(250),
            suspend_after: crate::host::SUSPEND_AFTER_DEFAULT,
            storage: StorageLimits::default(),
        }
    }
}
