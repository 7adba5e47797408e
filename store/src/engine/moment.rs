use bytes::Bytes;
use kiln_proto::ids::GroupId;
use rocksdb::{DB, DBRawIterator, ReadOptions, SnapshotWithThreadMode};

use super::{
    StateDb, Table,
    state_db::{PREFIX_LENGTH, full_key, upper_bound},
};
use crate::Error;

/// The applied state of one group as of one moment, whatever is applied meanwhile.
pub(crate) struct Moment<'a> {
    db: &'a StateDb,
    snapshot: SnapshotWithThreadMode<'a, DB>,
    group: GroupId,
}

impl<'a> Moment<'a> {
    pub(super) fn new(db: &'a StateDb, snapshot: SnapshotWithThreadMode<'a, DB>, group: GroupId) -> Self {
        Self { db, snapshot, group }
    }

    /// The value of a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self
            .snapshot
            .get_pinned_cf(self.db.family(table.name()), full_key(self.group, key))
            .map_err(Error::engine("read a row"))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Rows with keys from `from` on and below `to`, in key order. An empty `to` means "to the end".
    pub(crate) fn rows(&self, table: Table, from: &[u8], to: &[u8]) -> Rows<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(upper_bound(self.group, to));
        let mut rows = self
            .snapshot
            .raw_iterator_cf_opt(self.db.family(table.name()), options);
        rows.seek(full_key(self.group, from));
        Rows { rows }
    }
}

/// Rows that are read one by one.
pub(crate) struct Rows<'a> {
    rows: DBRawIterator<'a>,
}

impl Rows<'_> {
    /// The present row: key and value.
    pub(crate) fn item(&self) -> Option<(&[u8], &[u8])> {
        self.rows
            .item()
            .map(|(key, value)| (&key[PREFIX_LENGTH..], value))
    }

    /// Goes to the next row.
    pub(crate) fn next(&mut self) {
        self.rows.next();
    }

    /// Tells an end from a failure, once there is no row any more.
    pub(crate) fn status(&self) -> Result<(), Error> {
        self.rows.status().map_err(Error::engine("scan rows"))
    }
}
