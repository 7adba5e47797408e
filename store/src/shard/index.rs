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

/// The rows of one worker of a component.
#[derive(Clone, Copy)]
struct Rows {
    component: ComponentId,
    number: WorkerNumber,
}

impl Rows {
    fn by_status(self, facts: Facts) -> IndexRow {
        let shown = [facts.version.to_be_bytes(), facts.created_at_ns.to_be_bytes()].concat();
        (
            with_number(status_prefix(self.component, facts.status), self.number),
            shown,
        )
    }

    fn by_version(self, facts: Facts) -> IndexRow {
        let prefix = version_prefix(self.component, facts.version);
        (
            with_number(prefix, self.number),
            facts.created_at_ns.to_be_bytes().to_vec(),
        )
    }

    fn by_creation(self, facts: Facts) -> IndexRow {
        let created = facts.created_at_ns.to_be_bytes();
        let prefix = [creation_prefix(self.component).as_slice(), &created].concat();
        (
            with_number(prefix, self.number),
            facts.version.to_be_bytes().to_vec(),
        )
    }

    fn unfinished(self, facts: Facts) -> Option<IndexRow> {
        facts
            .is_unfinished
            .then(|| (with_number(vec![UNFINISHED], self.number), Vec::new()))
    }

    fn sleeping(self, facts: Facts) -> Option<IndexRow> {
        let prefix = |at_ns: u64| [SLEEPING_PREFIX, at_ns.to_be_bytes().as_slice()].concat();
        facts
            .wake_at_ns
            .map(|at_ns| (with_number(prefix(at_ns), self.number), Vec::new()))
    }
}

/// Moves a worker's index rows from what it was to what it is. Rows that stay the same are neither made nor touched:
/// most changes are of the status alone.
pub(super) fn update(
    state: &mut Transaction<'_>,
    component: ComponentId,
    number: WorkerNumber,
    old: Option<Facts>,
    new: Option<Facts>,
) {
    let rows = Rows { component, number };
    let is_same = |shown: fn(Facts) -> [u64; 3]| old.map(shown) == new.map(shown);
    if !is_same(|facts| [facts.status as u64, facts.version, facts.created_at_ns]) {
        move_row(state, old, new, |facts| Some(rows.by_status(facts)));
    }
    if !is_same(|facts| [0, facts.version, facts.created_at_ns]) {
        move_row(state, old, new, |facts| Some(rows.by_version(facts)));
        move_row(state, old, new, |facts| Some(rows.by_creation(facts)));
    }
    move_row(state, old, new, |facts| rows.unfinished(facts));
    move_row(state, old, new, |facts| rows.sleeping(facts));
}

fn move_row(
    state: &mut Transaction<'_>,
    old: Option<Facts>,
    new: Option<Facts>,
    row: impl Fn(Facts) -> Option<IndexRow>,
) {
    let (old, new) = (old.and_then(&row), new.and_then(&row));
    if old == new {
        return;
    }
    if let Some((key, _)) = old
        && new.as_ref().is_none_or(|new| new.0 != key)
    {
        state.delete(Table::Index, key);
    }
    if let Some((key, value)) = new {
        state.put(Table::Index, key, value);
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
