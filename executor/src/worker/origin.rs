//! From what a worker's instance is made: which version runs, and where its state comes from.

use kiln_proto::{
    ids::{ComponentVersion, OplogIndex},
    v1::{UpdateRecord, WorkerRecord},
};

use crate::journal::{Region, Regions};

/// The first entry behind Create.
const SECOND: OplogIndex = OplogIndex(2);

/// From what the instance of a recorded worker is made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The version that runs.
    pub(super) version: ComponentVersion,
    /// Index of the entry with the snapshot that the state begins with; 0 when it begins with the worker.
    pub(super) snapshot_index: OplogIndex,
    /// The update that is to be brought about by this.
    pub(super) update: Option<Update>,
}

/// An update under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) version: ComponentVersion,
    pub(super) is_snapshot_based: bool,
}

impl Origin {
    pub(super) fn of(record: &WorkerRecord) -> Self {
        let present = Self {
            version: ComponentVersion(record.component_version),
            snapshot_index: OplogIndex(record.snapshot_index),
            update: None,
        };
        match record.pending_updates.first() {
            None => present,
            Some(update) => present.updated(update),
        }
    }

    fn updated(self, update: &UpdateRecord) -> Self {
        let version = ComponentVersion(update.target_version);
        let snapshot_index = if update.is_snapshot_based {
            OplogIndex(update.oplog_index)
        } else {
            self.snapshot_index
        };
        Self {
            version,
            snapshot_index,
            update: Some(Update {
                version,
                is_snapshot_based: update.is_snapshot_based,
            }),
        }
    }

    /// What replay leaves out. An ephemeral worker forgets an invocation as soon as it has ended.
    pub(super) fn skipped(&self, record: &WorkerRecord, is_ephemeral: bool) -> Regions {
        let recorded = record.skipped_regions.iter().chain(&record.deleted_regions);
        let mut regions: Vec<Region> = recorded.map(Region::from).collect();
        let forgotten = if is_ephemeral {
            OplogIndex(record.last_end_index)
        } else {
            self.snapshot_index
        };
        regions.push(Region {
            start: SECOND,
            end: forgotten,
        });
        Regions::new(regions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(target_version: u64, oplog_index: u64, is_snapshot_based: bool) -> UpdateRecord {
        UpdateRecord {
            target_version,
            oplog_index,
            is_snapshot_based,
            ..UpdateRecord::default()
        }
    }

    #[test]
    fn the_first_pending_update_decides() {
        let cases = [
            (vec![], 3, 7),
            (vec![pending(4, 20, false), pending(5, 21, true)], 4, 7),
            (vec![pending(5, 21, true)], 5, 21),
        ];
        for (pending_updates, version, snapshot_index) in cases {
            let is_updating = !pending_updates.is_empty();
            let record = WorkerRecord {
                component_version: 3,
                snapshot_index: 7,
                pending_updates,
                ..WorkerRecord::default()
            };
            let origin = Origin::of(&record);
            assert_eq!(origin.version, ComponentVersion(version));
            assert_eq!(origin.snapshot_index, OplogIndex(snapshot_index));
            assert_eq!(origin.update.is_some(), is_updating);
            let skipped = origin.skipped(&record, false);
            assert_eq!(skipped.end_of(SECOND), Some(OplogIndex(snapshot_index)));
        }
    }

    #[test]
    fn an_ephemeral_worker_replays_only_what_has_not_ended() {
        let record = WorkerRecord {
            last_end_index: 9,
            ..WorkerRecord::default()
        };
        let skipped = |is_ephemeral| Origin::of(&record).skipped(&record, is_ephemeral);
        assert_eq!(skipped(true).end_of(SECOND), Some(OplogIndex(9)));
        assert_eq!(skipped(false).end_of(SECOND), None);
    }
}
