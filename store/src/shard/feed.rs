//! The feed: for each worker its latest change, in the order of changes, and the latest deletions.
//!
//! A change is a creation, a deletion, or another status or version. Who follows the feed sees each worker's latest
//! change; what was between two reads of it is summed up.

use kiln_proto::{ids::WorkerId, v1::WorkerStatus};

use super::{
    facts::Facts,
    keys::{self, WorkerNumber},
};
use crate::{Error, Table, Transaction};

/// Index rows: `10, change` → [`Change`].
pub(super) const CHANGED: u8 = 10;
/// Index rows: `11, change` → component and name of a worker that was deleted.
pub(super) const DELETED: u8 = 11;

const LAST: &[u8] = b"feed/last";
const FORGOTTEN: &[u8] = b"feed/forgotten";
const DELETIONS: &[u8] = b"feed/deletions";

/// Deletions that are remembered; when there are twice as many, the older half is forgotten.
const DELETIONS_KEPT: u64 = 4096;

/// What a worker was before its latest change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// The change before, of this worker.
    pub change: u64,
    /// Status until then.
    pub status: WorkerStatus,
    /// Version until then.
    pub version: u64,
}

pub(super) fn key(kind: u8, change: u64) -> Vec<u8> {
    [&[kind], change.to_be_bytes().as_slice()].concat()
}

/// Notes that a worker was created or changed. Returns the number of the change.
pub(super) fn changed(
    state: &mut Transaction<'_>,
    number: WorkerNumber,
    before: Option<(u64, Facts)>,
) -> Result<u64, Error> {
    let change = next(state)?;
    let mut value = number.0.to_be_bytes().to_vec();
    if let Some((previous, facts)) = before {
        state.delete(Table::Index, key(CHANGED, previous));
        value.extend_from_slice(&previous.to_be_bytes());
        value.push(facts.status as u8);
        value.extend_from_slice(&facts.version.to_be_bytes());
    }
    state.put(Table::Index, key(CHANGED, change), value);
    Ok(change)
}

/// Notes that a worker was deleted.
pub(super) fn deleted(state: &mut Transaction<'_>, worker: &WorkerId, previous: u64) -> Result<(), Error> {
    let change = next(state)?;
    state.delete(Table::Index, key(CHANGED, previous));
    state.put(Table::Index, key(DELETED, change), keys::by_name(worker));
    let count = number(state, DELETIONS)? + 1;
    if count < 2 * DELETIONS_KEPT {
        set(state, DELETIONS, count);
        return Ok(());
    }
    let end = key(DELETED + 1, 0);
    let old = usize::try_from(DELETIONS_KEPT).unwrap_or(usize::MAX);
    let old = state.scan(Table::Index, &key(DELETED, 0), &end, old)?;
    if let Some((last, _)) = old.last() {
        set(state, FORGOTTEN, keys::number_at(last, 1).unwrap_or_default());
    }
    set(state, DELETIONS, count.saturating_sub(old.len() as u64));
    for (row, _) in old {
        state.delete(Table::Index, row);
    }
    Ok(())
}

fn next(state: &mut Transaction<'_>) -> Result<u64, Error> {
    let change = number(state, LAST)? + 1;
    set(state, LAST, change);
    Ok(change)
}

fn number(state: &Transaction<'_>, key: &[u8]) -> Result<u64, Error> {
    decode(state.get(Table::Meta, key)?.as_deref())
}

fn set(state: &mut Transaction<'_>, key: &[u8], number: u64) {
    state.put(Table::Meta, key, number.to_be_bytes().to_vec());
}

fn decode(number: Option<&[u8]>) -> Result<u64, Error> {
    let malformed = || Error::Corrupt("a number of the feed of changes is malformed".into());
    number.map_or(Ok(0), |number| keys::number_at(number, 0).ok_or_else(malformed))
}

/// The last change, and the last deletion that was forgotten.
pub(super) fn ends(get: impl Fn(&[u8]) -> Result<Option<bytes::Bytes>, Error>) -> Result<(u64, u64), Error> {
    Ok((
        decode(get(LAST)?.as_deref())?,
        decode(get(FORGOTTEN)?.as_deref())?,
    ))
}

/// Reads a row of a change: the worker, and what it was before.
pub(super) fn read(value: &[u8]) -> Result<(WorkerNumber, Option<Before>), Error> {
    let malformed = || Error::Corrupt("a change of a worker is malformed".into());
    let number = keys::number_at(value, 0)
        .map(WorkerNumber)
        .ok_or_else(malformed)?;
    if value.len() == 8 {
        return Ok((number, None));
    }
    let status = i32::from(*value.get(16).ok_or_else(malformed)?);
    let before = Before {
        change: keys::number_at(value, 8).ok_or_else(malformed)?,
        status: WorkerStatus::try_from(status).map_err(|_| malformed())?,
        version: keys::number_at(value, 17).ok_or_else(malformed)?,
    };
    Ok((number, Some(before)))
}
