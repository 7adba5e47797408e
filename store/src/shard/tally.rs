//! Counters: how many workers each component has in each status and version, and how many have a variable indexed.

use kiln_proto::{
    ids::ComponentId,
    v1::{WorkerRecord, WorkerStatus},
};

use super::{
    facts::Facts,
    keys,
    variable::{self, VariableKind},
};
use crate::{Error, Table, Transaction};

pub(super) const TALLIES: &[u8] = b"tally/";
const COVERED: &[u8] = b"covered/";

/// The number of a component's workers in one status and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The component.
    pub component: ComponentId,
    /// The status.
    pub status: WorkerStatus,
    /// The version.
    pub version: u64,
    /// How many.
    pub count: u64,
}

pub(super) fn prefix(component: Option<ComponentId>) -> Vec<u8> {
    let mut prefix = TALLIES.to_vec();
    prefix.extend(
        component
            .iter()
            .flat_map(|component| component.as_bytes().iter().copied()),
    );
    prefix
}

fn key(component: ComponentId, facts: Facts) -> Vec<u8> {
    [
        &prefix(Some(component)),
        [facts.status as u8].as_slice(),
        &facts.version.to_be_bytes(),
    ]
    .concat()
}

/// The key of the number of a component's workers that have a variable indexed, whether they have a value or not.
pub(super) fn covered_key(component: ComponentId, kind: VariableKind, key: &str) -> Vec<u8> {
    [
        COVERED,
        component.as_bytes(),
        &variable::name(kind, &variable::folded(kind, key)),
    ]
    .concat()
}

/// Counts a change of a worker: out of where it was, into where it is.
pub(super) fn update(
    state: &mut Transaction<'_>,
    component: ComponentId,
    old: Option<Facts>,
    new: Option<Facts>,
) -> Result<(), Error> {
    let old = old.map(|old| key(component, old));
    let new = new.map(|new| key(component, new));
    if old == new {
        return Ok(());
    }
    if let Some(old) = old {
        add(state, old, -1)?;
    }
    if let Some(new) = new {
        add(state, new, 1)?;
    }
    Ok(())
}

/// Counts the variables that a worker has indexed, by 1 or -1.
pub(super) fn cover(
    state: &mut Transaction<'_>,
    component: ComponentId,
    record: &WorkerRecord,
    change: i64,
) -> Result<(), Error> {
    for (kind, key) in variable::declared(record) {
        add(state, covered_key(component, kind, &key), change)?;
    }
    Ok(())
}

fn add(state: &mut Transaction<'_>, key: Vec<u8>, change: i64) -> Result<(), Error> {
    let count = state
        .get(Table::Meta, &key)?
        .map_or(Ok(0), |count| decode(&count))?;
    let count = count
        .checked_add_signed(change)
        .ok_or_else(|| Error::Corrupt("a count of workers would be negative".into()))?;
    match count {
        0 => state.delete(Table::Meta, key),
        count => state.put(Table::Meta, key, count.to_be_bytes().to_vec()),
    }
    Ok(())
}

pub(super) fn decode(count: &[u8]) -> Result<u64, Error> {
    keys::number_at(count, 0).ok_or_else(malformed)
}

/// Reads a counter's row.
pub(super) fn read(key: &[u8], count: &[u8]) -> Result<Tally, Error> {
    let key = key.strip_prefix(TALLIES).ok_or_else(malformed)?;
    let (component, rest) = key.split_at_checked(16).ok_or_else(malformed)?;
    let (status, _) = rest.split_first().ok_or_else(malformed)?;
    Ok(Tally {
        component: ComponentId::from_slice(component).map_err(|_| malformed())?,
        status: WorkerStatus::try_from(i32::from(*status)).map_err(|_| malformed())?,
        version: keys::number_at(rest, 1).ok_or_else(malformed)?,
        count: decode(count)?,
    })
}

fn malformed() -> Error {
    Error::Corrupt("a count of workers is malformed".into())
}
