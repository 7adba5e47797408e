//! What the entries of an update amount to.

use kiln_proto::v1::{
    FailedUpdateEntry, PendingUpdateEntry, RegionEntry, SuccessfulUpdateEntry, UpdateRecord, WorkerStatus,
};

use super::Fold;

/// The first entry behind Create.
const SECOND: u64 = 2;

impl Fold {
    pub(super) fn update_pending(&mut self, index: u64, entry: &PendingUpdateEntry, timestamp_ns: u64) {
        let is_snapshot_based = entry.snapshot.is_some();
        let queued = if is_snapshot_based {
            // Its turn has come.
            self.leave_queue(entry.target_version)
        } else {
            bytes::Bytes::new()
        };
        let token = if entry.token.is_empty() {
            queued
        } else {
            entry.token.clone()
        };
        self.record.pending_updates.push(UpdateRecord {
            timestamp_ns,
            target_version: entry.target_version,
            details: None,
            oplog_index: index,
            is_snapshot_based,
            token,
        });
        if self.record.status() == WorkerStatus::Failed {
            self.set(WorkerStatus::Retrying);
        }
    }

    /// From here on the new version counts. What came before a snapshot is not replayed any more.
    pub(super) fn update_succeeded(&mut self, index: u64, entry: &SuccessfulUpdateEntry, timestamp_ns: u64) {
        self.record.component_version = entry.target_version;
        self.record.component_size = entry.new_component_size;
        let pending = self.take_pending(entry.target_version);
        if pending.is_snapshot_based {
            self.record.snapshot_index = pending.oplog_index;
            self.skip(SECOND, pending.oplog_index);
        }
        self.record.successful_updates.push(UpdateRecord {
            timestamp_ns,
            oplog_index: index,
            ..pending
        });
    }

    /// What the new version has recorded while it started from a snapshot counts no more.
    pub(super) fn update_failed(&mut self, index: u64, entry: &FailedUpdateEntry, timestamp_ns: u64) {
        let pending = self.take_pending(entry.target_version);
        if pending.is_snapshot_based {
            self.skip(pending.oplog_index + 1, index);
        }
        self.record.failed_updates.push(UpdateRecord {
            timestamp_ns,
            details: entry.details.clone(),
            oplog_index: index,
            ..pending
        });
    }

    /// Removes the update to this version from those that wait. One that could not even be begun waits in the queue.
    fn take_pending(&mut self, target_version: u64) -> UpdateRecord {
        let pending = &mut self.record.pending_updates;
        if let Some(at) = pending
            .iter()
            .position(|update| update.target_version == target_version)
        {
            return pending.remove(at);
        }
        let token = self.leave_queue(target_version);
        UpdateRecord {
            target_version,
            token,
            ..UpdateRecord::default()
        }
    }

    /// Removes an update from the queue of invocations and returns its token.
    pub(super) fn leave_queue(&mut self, target_version: u64) -> bytes::Bytes {
        let queue = &mut self.record.pending_invocations;
        let at = queue
            .iter()
            .position(|waiting| waiting.update_version == Some(target_version));
        at.map(|at| queue.remove(at).token).unwrap_or_default()
    }

    fn skip(&mut self, start: u64, end: u64) {
        self.record.skipped_regions.push(RegionEntry { start, end });
    }
}
