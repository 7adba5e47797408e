use std::{path::PathBuf, time::Duration};

/// How a node stores and replicates.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node's data folder; made when it is missing.
    pub path: PathBuf,
    /// How often a leader shows that it is alive.
    pub heartbeat_interval: Duration,
    /// Shortest wait of a follower, after the leader's lease, before it stands for election.
    pub election_timeout_min: Duration,
    /// Longest such wait; also the length of the leader's lease, during which nobody votes for another.
    pub election_timeout_max: Duration,
    /// How often the state is flushed and the log behind it purged.
    pub flush_interval: Duration,
    /// Log entries that stay after the state that they lead to is durable, so that a replica that was away
    /// for a while catches up from the log rather than by a snapshot.
    pub log_entries_to_keep: u64,
    /// Bytes of log that a group keeps at most, whatever the number of entries. What is not in the durable state yet
    /// stays in any case.
    pub log_bytes_to_keep: u64,
    /// Memory for recent log entries, shared by all groups.
    pub log_tail_bytes: usize,
    /// Memory for blocks of the state read from disk, shared by all groups.
    pub block_cache_bytes: usize,
    /// Memory for state that is not flushed yet, shared by all groups.
    pub write_buffer_bytes: usize,
}

impl Options {
    /// The defaults, with data in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: PathBuf::from("kiln-data"),
            heartbeat_interval: Duration::from_millis(150),
            election_timeout_min: Duration::from_millis(300),
            election_timeout_max: Duration::from_millis(500),
            flush_interval: Duration::from_secs(15),
            log_entries_to_keep: 50_000,
            log_bytes_to_keep: 256 << 20,
            log_tail_bytes: 16 << 20,
            block_cache_bytes: 128 << 20,
            write_buffer_bytes: 128 << 20,
        }
    }
}
