//! Secondary indexes over worker records. Keys are part of the storage format; [`layout`](super::layout) has its version.
//!
//! Except by creation, rows of one value are in the order of worker numbers, so that several values can be merged.

use kiln_proto::{
    ids::ComponentId,
    v1::{WorkerRecord, WorkerStatus},
};

use super::{
    facts::Facts,
    keys::WorkerNumber,
    variable::{self, Variable},
};
use crate::{Table, Transaction};

// 1 to 3 were rows of layout 1.
/// `4, w` → nothing: workers that a new owner has to recover.
const UNFINISHED: u8 = 4;
/// `5, time, w` → nothing: suspended workers that go on at a time.
const SLEEPING: u8 = 5;
/// `6, component, status, w` → version, created.
const BY_STATUS: u8 = 6;
/// `7, component, version, w` → created.
const BY_VERSION: u8 = 7;
/// `8, component, created, w` → version.
const BY_CREATION: u8 = 8;
/// `9, component, variable, w` → nothing.
const BY_VARIABLE: u8 = 9;
// 10 and 11 are the feed's.

/// Prefix of all rows of workers that a new owner has to recover.
pub(super) const UNFINISHED_PREFIX: &[u8] = &[UNFINISHED];

/// Prefix of all rows of suspended workers that go on at a time.
pub(super) const SLEEPING_PREFIX: &[u8] = &[SLEEPING];

pub(super) fn status_prefix(component: ComponentId, status: WorkerStatus) -> Vec<u8> {
    [&[BY_STATUS], component.as_bytes().as_slice(), &[status as u8]].concat()
}

pub(super) fn version_prefix(component: ComponentId, version: u64) -> Vec<u8> {
    [
        &[BY_VERSION],
        component.as_bytes().as_slice(),
        &version.to_be_bytes(),
    ]
    .concat()
}

pub(super) fn creation_prefix(component: ComponentId) -> Vec<u8> {
    [&[BY_CREATION], component.as_bytes().as_slice()].concat()
}

pub(super) fn variable_prefix(component: ComponentId, variable: &Variable) -> Vec<u8> {
    [
        &[BY_VARIABLE],
        component.as_bytes().as_slice(),
        &variable.encode(),
    ]
    .concat()
}

/// Behind every prefix stands the worker's number.
pub(super) fn with_number(mut prefix: Vec<u8>, number: WorkerNumber) -> Vec<u8> {
    prefix.extend_from_slice(&number.0.to_be_bytes());
    prefix
}

type IndexRow = (Vec<u8>, Vec<u8>);

fn rows(facts: Facts, component: ComponentId, number: WorkerNumber) -> Vec<IndexRow> {
    let version = facts.version.to_be_bytes();
    let created = facts.created_at_ns.to_be_bytes();
    let by_creation = [creation_prefix(component), created.to_vec()].concat();
    let mut rows = vec![
        (
            with_number(status_prefix(component, facts.status), number),
            [version, created].concat(),
        ),
        (
            with_number(version_prefix(component, facts.version), number),
            created.to_vec(),
        ),
        (with_number(by_creation, number), version.to_vec()),
    ];
    if facts.is_unfinished {
        rows.push((with_number(vec![UNFINISHED], number), Vec::new()));
    }
    if let Some(at_ns) = facts.wake_at_ns {
        let sleeping = [&[SLEEPING], at_ns.to_be_bytes().as_slice()].concat();
        rows.push((with_number(sleeping, number), Vec::new()));
    }
    rows
}

/// Moves a worker's index rows from what it was to what it is. Rows that stay the same are not touched.
pub(super) fn update(
    state: &mut Transaction<'_>,
    component: ComponentId,
    number: WorkerNumber,
    old: Option<Facts>,
    new: Option<Facts>,
) {
    let old = old.map_or_else(Vec::new, |old| rows(old, component, number));
    let new = new.map_or_else(Vec::new, |new| rows(new, component, number));
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

/// Adds the rows of the variables that are to be indexed. A worker's variables never change.
pub(super) fn put_variables(
    state: &mut Transaction<'_>,
    component: ComponentId,
    number: WorkerNumber,
    record: &WorkerRecord,
) {
    for variable in variable::indexed(record) {
        let key = with_number(variable_prefix(component, &variable), number);
        state.put(Table::Index, key, Vec::new());
    }
}

/// Removes the rows of a worker's variables.
pub(super) fn delete_variables(
    state: &mut Transaction<'_>,
    component: ComponentId,
    number: WorkerNumber,
    record: &WorkerRecord,
) {
    for variable in variable::indexed(record) {
        state.delete(
            Table::Index,
            with_number(variable_prefix(component, &variable), number),
        );
    }
}
