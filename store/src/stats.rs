use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the node's store has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Synced writes of the log: one `fdatasync` each, for all groups together.
    pub log_syncs: u64,
    /// Entries written to the logs of all groups.
    pub log_entries: u64,
    /// Bytes of those entries.
    pub log_bytes: u64,
    /// Commands proposed on this node.
    pub proposals: u64,
    /// Shard operations proposed on this node; several travel in one command.
    pub operations: u64,
    /// Commands applied to the state.
    pub applied: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) log_syncs: AtomicU64,
    pub(crate) log_entries: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) proposals: AtomicU64,
    pub(crate) operations: AtomicU64,
    pub(crate) applied: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            log_syncs: self.log_syncs.load(Relaxed),
            log_entries: self.log_entries.load(Relaxed),
            log_bytes: self.log_bytes.load(Relaxed),
            proposals: self.proposals.load(Relaxed),
            operations: self.operations.load(Relaxed),
            applied: self.applied.load(Relaxed),
        }
    }
}
