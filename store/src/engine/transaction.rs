use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;

use super::{Reader, Row, Table, state_db::Batch};
use crate::Error;

type Changes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// Changes to a group's tables, not written yet. Reads see them.
///
/// Commands that are applied together share one transaction, so a row that several of them change is written once.
pub struct Transaction<'a> {
    reader: &'a Reader,
    changes: [Changes; Table::ALL.len()],
    bytes: usize,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(reader: &'a Reader) -> Self {
        Self {
            reader,
            changes: Default::default(),
            bytes: 0,
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.changes[table as usize].get(key) {
            Some(change) => Ok(change.clone()),
            None => self.reader.get(table, key),
        }
    }

    /// Sets the value of a key.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Bytes>) {
        let value = value.into();
        self.bytes += value.len();
        self.changes[table as usize].insert(key.into(), Some(value));
    }

    /// Removes a key; harmless when it is absent.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes[table as usize].insert(key.into(), None);
    }

    /// Up to `limit` rows with keys from `from` on and below `to`, in key order. An empty `to` means "to the end".
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn scan(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, Error> {
        let changes = &self.changes[table as usize];
        if changes.is_empty() {
            return self.reader.scan(table, from, to, limit);
        }
        // A deleted row takes a stored one away, so up to that many more have to be read.
        let stored = self
            .reader
            .scan(table, from, to, limit.saturating_add(changes.len()))?;
        let mut rows: BTreeMap<Bytes, Bytes> = stored.into_iter().collect();
        let end = if to.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Excluded(to)
        };
        for (key, change) in changes.range::<[u8], _>((Bound::Included(from), end)) {
            match change {
                Some(value) => rows.insert(Bytes::copy_from_slice(key), value.clone()),
                None => rows.remove(key.as_slice()),
            };
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    /// All rows whose key begins with `prefix`.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub fn scan_prefix(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, Error> {
        self.scan(table, prefix, &super::reader::after_prefix(prefix), usize::MAX)
    }

    /// Bytes of the values put so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn fill(self, batch: &mut Batch<'_>) {
        for (table, changes) in Table::ALL.into_iter().zip(self.changes) {
            for (key, change) in changes {
                match change {
                    Some(value) => batch.put(table, &key, &value),
                    None => batch.delete(table, &key),
                }
            }
        }
    }
}
