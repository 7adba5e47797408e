//! How many workers each component has in each status.

use bytes::Bytes;
use kiln_proto::{ids::ComponentId, v1::WorkerStatus};

use super::keys;
use crate::{Error, Table, Transaction};

/// Counts a change of a worker: out of where it was, into where it is.
pub(super) fn update(
    state: &mut Transaction<'_>,
    component: ComponentId,
    old: Option<WorkerStatus>,
    new: Option<WorkerStatus>,
) -> Result<(), Error> {
    if old == new {
        return Ok(());
    }
    if let Some(old) = old {
        add(state, component, old, -1)?;
    }
    if let Some(new) = new {
        add(state, component, new, 1)?;
    }
    Ok(())
}

fn add(
    state: &mut Transaction<'_>,
    component: ComponentId,
    status: WorkerStatus,
    change: i64,
) -> Result<(), Error> {
    let key = keys::count(component, status);
    let count = state
        .get(Table::Meta, &key)?
        .map_or(Ok(0), |count| decode(&count))?;
    let count = count.checked_add_signed(change).ok_or_else(|| {
        Error::Corrupt(format!(
            "the count of {status:?} workers of component {component} is negative"
        ))
    })?;
    match count {
        0 => state.delete(Table::Meta, key),
        count => state.put(Table::Meta, key, count.to_be_bytes().to_vec()),
    }
    Ok(())
}

pub(super) fn decode(count: &Bytes) -> Result<u64, Error> {
    keys::number_at(count, 0).ok_or_else(|| Error::Corrupt("a count of workers is malformed".into()))
}
