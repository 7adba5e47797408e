use kiln_proto::v1::{WorkerRecord, WorkerStatus};

/// What of a record indexes and counters are made of: while it stays the same, so do they.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its status.
    pub status: WorkerStatus,
    /// The version of the component that it runs.
    pub version: u64,
    /// Nanoseconds since the Unix epoch.
    pub created_at_ns: u64,
    /// A new owner has to load the worker.
    pub(super) is_unfinished: bool,
    /// When a suspended worker goes on by itself.
    pub(super) wake_at_ns: Option<u64>,
}

impl Facts {
    pub(super) fn of(record: &WorkerRecord) -> Self {
        Self {
            status: record.status(),
            version: record.component_version,
            created_at_ns: record.created_at_ns,
            is_unfinished: is_unfinished(record),
            wake_at_ns: record.wake_at_ns,
        }
    }

    /// True when lists show the same of both.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        (self.status, self.version) == (other.status, other.version)
    }
}

/// The worker was at work, or has work waiting that nothing else will start. A suspended one is woken by what it waits for.
fn is_unfinished(record: &WorkerRecord) -> bool {
    match record.status() {
        WorkerStatus::Running | WorkerStatus::Retrying => true,
        WorkerStatus::Suspended => !record.pending_updates.is_empty(),
        WorkerStatus::Idle => !record.pending_invocations.is_empty() || !record.pending_updates.is_empty(),
        WorkerStatus::WorkerInterrupted | WorkerStatus::Failed | WorkerStatus::Exited => false,
    }
}
