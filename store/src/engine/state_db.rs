//! The state instance: what the logs amount to. Never written with a WAL, flushed atomically.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use kiln_proto::ids::GroupId;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Direction,
    FlushOptions, IteratorMode, Options as DbOptions, ReadOptions, ReadTier, WriteBatch, WriteOptions,
};

use super::{Moment, Table};
use crate::{Error, Options};

/// Column family of the applied marks: group → encoded mark.
const APPLIED: &str = "applied";

/// Memory for large values that are not flushed yet; twice that while they are.
const LARGE_VALUES_BUFFER_BYTES: usize = 4 << 20;

/// Prefix of a group's keys.
pub(super) const PREFIX_LENGTH: usize = 4;

pub(crate) struct StateDb {
    db: DB,
    without_wal: WriteOptions,
}

impl StateDb {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Arc<Self>, Error> {
        let mut db_options = DbOptions::default();
        db_options.create_if_missing(true);
        db_options.create_missing_column_families(true);
        db_options.set_atomic_flush(true);
        db_options.set_db_write_buffer_size(options.write_buffer_bytes);
        db_options.set_max_background_jobs(2);
        db_options.set_bytes_per_sync(1 << 20);
        db_options.set_keep_log_file_num(2);

        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_cache_index_and_filter_blocks(true);
        let families = Table::ALL
            .map(Table::name)
            .into_iter()
            .chain([APPLIED])
            .map(|name| {
                let mut family = DbOptions::default();
                family.set_block_based_table_factory(&blocks);
                family.set_compression_type(DBCompressionType::Lz4);
                if [Table::Kv.name(), Table::Blob.name()].contains(&name) {
                    separate_large_values(&mut family);
                }
                ColumnFamilyDescriptor::new(name, family)
            });
        let db =
            DB::open_cf_descriptors(&db_options, path, families).map_err(Error::engine("open the state"))?;
        let mut without_wal = WriteOptions::default();
        without_wal.disable_wal(true);
        Ok(Arc::new(Self { db, without_wal }))
    }

    pub(super) fn family(&self, name: &str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("every column family is made when the database is opened")
    }

    pub(crate) fn get(&self, group: GroupId, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self
            .db
            .get_pinned_cf(self.family(table.name()), full_key(group, key))
            .map_err(Error::engine("read a row"))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// The state as of now.
    pub(super) fn moment(&self, group: GroupId) -> Moment<'_> {
        Moment::new(self, self.db.snapshot(), group)
    }

    pub(crate) fn visit(
        &self,
        group: GroupId,
        table: Table,
        from: &[u8],
        to: &[u8],
        mut visitor: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(upper_bound(group, to));
        let mut rows = self.db.raw_iterator_cf_opt(self.family(table.name()), options);
        rows.seek(full_key(group, from));
        while let Some((key, value)) = rows.item() {
            if !visitor(&key[PREFIX_LENGTH..], value) {
                break;
            }
            rows.next();
        }
        rows.status().map_err(Error::engine("scan rows"))
    }

    pub(crate) fn last_at_or_before(
        &self,
        group: GroupId,
        table: Table,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<super::Row>, Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(full_key(group, from));
        let mut rows = self.db.raw_iterator_cf_opt(self.family(table.name()), options);
        rows.seek_for_prev(full_key(group, to));
        let row = rows.item().map(|(key, value)| {
            (
                Bytes::copy_from_slice(&key[PREFIX_LENGTH..]),
                Bytes::copy_from_slice(value),
            )
        });
        rows.status().map_err(Error::engine("seek a row"))?;
        Ok(row)
    }

    pub(crate) fn batch(&self, group: GroupId) -> Batch<'_> {
        Batch {
            db: self,
            group,
            writes: WriteBatch::default(),
        }
    }

    /// The mark of what has been applied, durable or not.
    pub(crate) fn applied(&self, group: GroupId) -> Result<Option<Vec<u8>>, Error> {
        self.db
            .get_cf(self.family(APPLIED), group.0.to_be_bytes())
            .map_err(Error::engine("read the applied mark"))
    }

    /// The mark of what a crash now would leave.
    pub(crate) fn durable(&self, group: GroupId) -> Result<Option<Vec<u8>>, Error> {
        let mut options = ReadOptions::default();
        // Nothing here is ever written with a WAL, so this tier skips the memtables.
        options.set_read_tier(ReadTier::Persisted);
        self.db
            .get_cf_opt(self.family(APPLIED), group.0.to_be_bytes(), &options)
            .map_err(Error::engine("read the durable mark"))
    }

    pub(crate) fn groups(&self) -> Result<Vec<GroupId>, Error> {
        self.db
            .iterator_cf(self.family(APPLIED), IteratorMode::From(&[], Direction::Forward))
            .map(|row| {
                let (key, _) = row.map_err(Error::engine("list groups"))?;
                let key: [u8; PREFIX_LENGTH] = key
                    .as_ref()
                    .try_into()
                    .map_err(|_| Error::Corrupt("an applied mark has a malformed key".into()))?;
                Ok(GroupId(u32::from_be_bytes(key)))
            })
            .collect()
    }

    /// Makes everything written so far durable, in all column families at once.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let families: Vec<&ColumnFamily> = Table::ALL
            .map(Table::name)
            .into_iter()
            .chain([APPLIED])
            .map(|name| self.family(name))
            .collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db
            .flush_cfs_opt(&families, &options)
            .map_err(Error::engine("flush the state"))
    }

    /// Removes everything of a group. Durable only after the next [`flush`](Self::flush).
    pub(crate) fn wipe(&self, group: GroupId) -> Result<(), Error> {
        let mut writes = WriteBatch::default();
        for table in Table::ALL {
            writes.delete_range_cf(
                self.family(table.name()),
                full_key(group, &[]),
                upper_bound(group, &[]),
            );
        }
        writes.delete_cf(self.family(APPLIED), group.0.to_be_bytes());
        self.db
            .write_opt(writes, &self.without_wal)
            .map_err(Error::engine("wipe a group"))
    }

    /// Shows every row of a group as of one moment, together with the applied mark of that moment.
    pub(crate) fn export(
        &self,
        group: GroupId,
        begin: impl FnOnce(Option<Vec<u8>>) -> Result<(), Error>,
        mut visitor: impl FnMut(Table, &[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let snapshot = self.db.snapshot();
        let mark = snapshot
            .get_cf(self.family(APPLIED), group.0.to_be_bytes())
            .map_err(Error::engine("read the applied mark"))?;
        begin(mark)?;
        for table in Table::ALL {
            let mut options = ReadOptions::default();
            options.set_iterate_upper_bound(upper_bound(group, &[]));
            options.fill_cache(false);
            let mut rows = snapshot.raw_iterator_cf_opt(self.family(table.name()), options);
            rows.seek(full_key(group, &[]));
            while let Some((key, value)) = rows.item() {
                visitor(table, &key[PREFIX_LENGTH..], value)?;
                rows.next();
            }
            rows.status().map_err(Error::engine("export rows"))?;
        }
        Ok(())
    }
}

/// Changes of one group that become visible together.
pub(crate) struct Batch<'a> {
    db: &'a StateDb,
    group: GroupId,
    writes: WriteBatch,
}

impl Batch<'_> {
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.writes
            .put_cf(self.db.family(table.name()), full_key(self.group, key), value);
    }

    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.writes
            .delete_cf(self.db.family(table.name()), full_key(self.group, key));
    }

    pub(crate) fn put_applied(&mut self, mark: &[u8]) {
        self.writes
            .put_cf(self.db.family(APPLIED), self.group.0.to_be_bytes(), mark);
    }

    pub(crate) fn write(self) -> Result<(), Error> {
        self.db
            .db
            .write_opt(self.writes, &self.db.without_wal)
            .map_err(Error::engine("write the state"))
    }
}

/// Large values lie in files of their own, so that they are not written again each time their keys are merged. They leave
/// memory soon: nothing is gained by keeping more of an upload there than one write to disk is worth.
fn separate_large_values(family: &mut DbOptions) {
    family.set_write_buffer_size(LARGE_VALUES_BUFFER_BYTES);
    family.set_enable_blob_files(true);
    family.set_min_blob_size(16 << 10);
    family.set_blob_file_size(64 << 20);
    family.set_blob_compression_type(DBCompressionType::None);
    family.set_enable_blob_gc(true);
}

pub(super) fn full_key(group: GroupId, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(PREFIX_LENGTH + key.len());
    full.extend_from_slice(&group.0.to_be_bytes());
    full.extend_from_slice(key);
    full
}

pub(super) fn upper_bound(group: GroupId, to: &[u8]) -> Vec<u8> {
    if to.is_empty() {
        (group.0 + 1).to_be_bytes().to_vec()
    } else {
        full_key(group, to)
    }
}
