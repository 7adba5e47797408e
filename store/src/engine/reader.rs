use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::ids::GroupId;

use super::{Moment, StateDb, Table};
use crate::Error;

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// The applied state of one group, as far as this replica has got. Keys are those of the group alone.
#[derive(Clone)]
pub struct Reader {
    db: Arc<StateDb>,
    group: GroupId,
}

impl Reader {
    pub(crate) fn new(db: Arc<StateDb>, group: GroupId) -> Self {
        Self { db, group }
    }

    /// The state as of now, for several reads that have to agree.
    pub(crate) fn moment(&self) -> Moment<'_> {
        self.db.moment(self.group)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.db.get(self.group, table, key)
    }

    /// Up to `limit` rows with keys from `from` on and below `to`, in key order. An empty `to` means "to the end".
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        self.visit(table, from, to, |key, value| {
            rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            rows.len() < limit
        })?;
        Ok(rows)
    }

    /// All rows whose key begins with `prefix`.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn scan_prefix(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, Error> {
        self.scan(table, prefix, &after_prefix(prefix), usize::MAX)
    }

    /// Shows rows with keys from `from` on and below `to`, in key order, until `visitor` returns false.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn visit(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visitor: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        self.db.visit(self.group, table, from, to, visitor)
    }

    /// The last row with a key from `from` on and at or below `to`.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn last_at_or_before(&self, table: Table, from: &[u8], to: &[u8]) -> Result<Option<Row>, Error> {
        self.db.last_at_or_before(self.group, table, from, to)
    }
}

/// The smallest key above all that begin with `prefix`; empty if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}
