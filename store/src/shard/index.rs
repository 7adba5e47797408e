//! Secondary indexes over worker records.

use kiln_proto::v1::{WorkerRecord, WorkerStatus};

use super::keys::WorkerNumber;
use crate::{Error, Table, Transaction};

/// `1, component, status, created, w` → version: workers of a status, oldest first.
const BY_STATUS: u8 = 1;
/// `2, component, version, w` → status.
const BY_VERSION: u8 = 2;
/// `3, component, created, w` → status.
const BY_CREATION: u8 = 3;
/// `4, w` → nothing: workers that a new owner has to recover.
const UNFINISHED: u8 = 4;

/// Prefix of all rows of workers that a new owner has to recover.
pub(super) const UNFINISHED_PREFIX: &[u8] = &[UNFINISHED];

/// A new owner has to load the worker: it was at work, or has work waiting that nothing else will start.
fn is_unfinished(record: &WorkerRecord) -> bool {
    match record.status() {
        WorkerStatus::Running | WorkerStatus::Retrying | WorkerStatus::Suspended => true,
        WorkerStatus::Idle => !record.pending_invocations.is_empty() || !record.pending_updates.is_empty(),
        WorkerStatus::WorkerInterrupted | WorkerStatus::Failed | WorkerStatus::Exited => false,
    }
}

/// What of a record the index rows are made of: when it stays the same, so do they.
fn facts(record: &WorkerRecord) -> (WorkerStatus, u64, u64, bool) {
    (
        record.status(),
        record.component_version,
        record.created_at_ns,
        is_unfinished(record),
    )
}

/// Moves a worker's index rows from its old record to its new one. Rows that stay the same are not touched.
pub(super) fn update(
    state: &mut Transaction<'_>,
    number: WorkerNumber,
    old: Option<&WorkerRecord>,
    new: Option<&WorkerRecord>,
) -> Result<(), Error> {
    if old.map(facts) == new.map(facts) {
        return Ok(());
    }
    let old = old.map_or(Ok(Vec::new()), |old| rows(number, old))?;
    let new = new.map_or(Ok(Vec::new()), |new| rows(number, new))?;
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
    Ok(())
}

type IndexRow = (Vec<u8>, Vec<u8>);

/// The index rows of a record.
pub(super) fn rows(number: WorkerNumber, record: &WorkerRecord) -> Result<Vec<IndexRow>, Error> {
    let component = record
        .worker_id
        .as_ref()
        .map(|id| id.component_id.as_ref())
        .filter(|id: &&[u8]| id.len() == 16)
        .ok_or_else(|| {
            Error::Corrupt(format!(
                "the record of worker number {} has no identity",
                number.0
            ))
        })?;
    let status = [record.status() as u8];
    let version = record.component_version.to_be_bytes();
    let created = record.created_at_ns.to_be_bytes();
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
    if is_unfinished(record) {
        rows.push(([UNFINISHED_PREFIX, &number].concat(), Vec::new()));
    }
    Ok(rows)
}
