//! Secondary indexes over worker records.

use kiln_proto::{
    ids::ComponentId,
    v1::{WorkerRecord, WorkerStatus},
};

use super::keys::WorkerNumber;
use crate::{Table, Transaction};

/// `1, component, status, created, w` → version: workers of a status, oldest first.
const BY_STATUS: u8 = 1;
/// `2, component, version, w` → status.
const BY_VERSION: u8 = 2;
/// `3, component, created, w` → status.
const BY_CREATION: u8 = 3;
/// `4, w` → nothing: workers that a new owner has to recover.
const UNFINISHED: u8 = 4;
/// `5, time, w` → nothing: suspended workers that go on at a time.
const SLEEPING: u8 = 5;

/// Prefix of all rows of workers that a new owner has to recover.
pub(super) const UNFINISHED_PREFIX: &[u8] = &[UNFINISHED];

/// Prefix of all rows of suspended workers that go on at a time.
pub(super) const SLEEPING_PREFIX: &[u8] = &[SLEEPING];

/// What of a record the indexes and counters are made of: while it stays the same, so do they.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) status: WorkerStatus,
    version: u64,
    created_at_ns: u64,
    /// A new owner has to load the worker.
    is_unfinished: bool,
    wake_at_ns: Option<u64>,
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

    fn rows(self, component: ComponentId, number: WorkerNumber) -> Vec<(Vec<u8>, Vec<u8>)> {
        let component = component.as_bytes().as_slice();
        let status = [self.status as u8];
        let version = self.version.to_be_bytes();
        let created = self.created_at_ns.to_be_bytes();
        let number = number.0.to_be_bytes();
        let mut rows = vec![
            (
                [&[BY_STATUS], component, &status, &created, &number].concat(),
                version.to_vec(),
            ),
            (
                [&[BY_VERSION], component, &version, &number].concat(),
                status.to_vec(),
            ),
            (
                [&[BY_CREATION], component, &created, &number].concat(),
                status.to_vec(),
            ),
        ];
        if self.is_unfinished {
            rows.push(([UNFINISHED_PREFIX, &number].concat(), Vec::new()));
        }
        if let Some(at_ns) = self.wake_at_ns {
            rows.push((
                [SLEEPING_PREFIX, &at_ns.to_be_bytes(), &number].concat(),
                Vec::new(),
            ));
        }
        rows
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

/// Moves a worker's index rows from what it was to what it is. Rows that stay the same are not touched.
pub(super) fn update(
    state: &mut Transaction<'_>,
    component: ComponentId,
    number: WorkerNumber,
    old: Option<Facts>,
    new: Option<Facts>,
) {
    if old == new {
        return;
    }
    let old = old.map_or_else(Vec::new, |old| old.rows(component, number));
    let new = new.map_or_else(Vec::new, |new| new.rows(component, number));
    for row in &old {
        if !new.iter().any(|other| other.0 == row.0) {
            state.delete(Table::Index, row.0.clone());
        }
    }
    for row in new {
        if !old.contains(&row) {
            state.put(Table::Index, row.0, row.1);
        }
    }
}
