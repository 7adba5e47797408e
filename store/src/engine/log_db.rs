//! The log instance: Raft logs and votes of all groups, and the node's own few facts. The only synced writes.

use std::{path::Path, sync::Arc};

use kiln_proto::ids::GroupId;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    Options as DbOptions, ReadOptions, WriteBatch, WriteOptions,
};

use super::watermark::Watermark;
use crate::Error;

const LOG: &str = "log";
const META: &str = "meta";
const NODE: &str = "node";

/// Memory for entries that are in the write-ahead log and in no table file yet; twice that while it is being written out.
const LOG_BUFFER_BYTES: usize = 8 << 20;

/// Memory for blocks of table files. A log is read in order and once, so that nothing but indexes is worth keeping.
const LOG_CACHE_BYTES: usize = 4 << 20;

/// A small fact of a group beside its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    Vote = b'v' as isize,
    Committed = b'c' as isize,
    Purged = b'p' as isize,
    /// A received snapshot that is being installed: the folder it lies in.
    Installing = b'i' as isize,
}

/// Key and value of a fact of the node.
type NodeFact = (Vec<u8>, Vec<u8>);

pub(crate) struct LogDb {
    db: DB,
    watermark: Watermark,
    synced: WriteOptions,
}

impl LogDb {
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>, Error> {
        let mut db_options = DbOptions::default();
        db_options.create_if_missing(true);
        db_options.create_missing_column_families(true);
        // Overwriting a recycled file's blocks makes a sync cheaper than growing a new file: no metadata changes.
        db_options.set_recycle_log_file_num(4);
        db_options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        db_options.set_max_total_wal_size(256 << 20);
        db_options.set_max_background_jobs(2);
        db_options.set_keep_log_file_num(2);
        let cache = Cache::new_lru_cache(LOG_CACHE_BYTES);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        let families = [LOG, META, NODE].map(|name| {
            let mut family = DbOptions::default();
            family.set_block_based_table_factory(&blocks);
            family.set_compression_type(DBCompressionType::None);
            if name == LOG {
                // Small, since every node has it: an upload of a large object fills all of it. So table files are small too,
                // and more of them are merged at a time. The log is read in order, and seldom from them.
                family.set_write_buffer_size(LOG_BUFFER_BYTES);
                family.set_max_write_buffer_number(2);
                family.set_level_zero_file_num_compaction_trigger(16);
                family.set_level_zero_slowdown_writes_trigger(40);
                family.set_level_zero_stop_writes_trigger(60);
            }
            ColumnFamilyDescriptor::new(name, family)
        });
        let db =
            DB::open_cf_descriptors(&db_options, path, families).map_err(Error::engine("open the log"))?;
        let (watermark, known) = Watermark::open(&path.join("SYNCED"))?;
        let recovered = db.latest_sequence_number();
        if recovered < known {
            return Err(Error::Corrupt(format!(
                "the log in {} was synced up to record {known}, but only {recovered} can be read: \
                 acknowledged data is lost; restore the node's data folder, or start it empty under a new identity",
                path.display()
            )));
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Arc::new(Self {
            db,
            watermark,
            synced,
        }))
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("every column family is made when the database is opened")
    }

    pub(crate) fn fact(&self, group: GroupId, fact: Fact) -> Result<Option<Vec<u8>>, Error> {
        self.db
            .get_cf(self.family(META), fact_key(group, fact))
            .map_err(Error::engine("read a fact of a log"))
    }

    pub(crate) fn node_fact(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.db
            .get_cf(self.family(NODE), key)
            .map_err(Error::engine("read a fact of the node"))
    }

    /// All node facts whose key begins with `prefix`, without it.
    pub(crate) fn node_facts(&self, prefix: &[u8]) -> Result<Vec<NodeFact>, Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(super::reader::after_prefix(prefix));
        let mut rows = self.db.raw_iterator_cf_opt(self.family(NODE), options);
        rows.seek(prefix);
        let mut facts = Vec::new();
        while let Some((key, value)) = rows.item() {
            facts.push((key[prefix.len()..].to_vec(), value.to_vec()));
            rows.next();
        }
        rows.status().map_err(Error::engine("list facts of the node"))?;
        Ok(facts)
    }

    /// Groups that have a vote or a purged log here.
    pub(crate) fn groups(&self) -> Result<Vec<GroupId>, Error> {
        let mut rows = self.db.raw_iterator_cf(self.family(META));
        rows.seek_to_first();
        let mut groups = Vec::new();
        while let Some(key) = rows.key() {
            let group: [u8; 4] = key
                .get(..4)
                .and_then(|group| group.try_into().ok())
                .ok_or_else(|| Error::Corrupt("a fact of a log has a malformed key".into()))?;
            let group = GroupId(u32::from_be_bytes(group));
            if groups.last() != Some(&group) {
                groups.push(group);
            }
            rows.next();
        }
        rows.status().map_err(Error::engine("list groups"))?;
        Ok(groups)
    }

    /// Shows stored entries from index `from` on and below `to` until `visitor` returns false.
    pub(crate) fn visit_entries(
        &self,
        group: GroupId,
        from: u64,
        to: u64,
        mut visitor: impl FnMut(u64, &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(entry_key(group, to));
        options.fill_cache(false);
        let mut rows = self.db.raw_iterator_cf_opt(self.family(LOG), options);
        rows.seek(entry_key(group, from));
        while let Some((key, value)) = rows.item() {
            if !visitor(entry_index(key)?, value)? {
                break;
            }
            rows.next();
        }
        rows.status().map_err(Error::engine("read the log"))
    }

    /// The stored entry with the highest index.
    pub(crate) fn last_entry(&self, group: GroupId) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(entry_key(group, 0));
        let mut rows = self.db.raw_iterator_cf_opt(self.family(LOG), options);
        rows.seek_for_prev(entry_key(group, u64::MAX));
        let last = rows
            .item()
            .map(|(key, value)| Ok((entry_index(key)?, value.to_vec())))
            .transpose()?;
        rows.status().map_err(Error::engine("find the end of the log"))?;
        Ok(last)
    }

    pub(crate) fn batch(&self) -> LogBatch<'_> {
        LogBatch {
            db: self,
            writes: WriteBatch::default(),
        }
    }

    /// A fact of the node that is a text.
    pub(crate) fn node_fact_text(&self, key: &[u8]) -> Result<Option<String>, Error> {
        let Some(bytes) = self.node_fact(key)? else {
            return Ok(None);
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Error::Corrupt("a fact of the node is no text".into()))
    }
}

/// Changes of any number of groups that become durable together.
pub(crate) struct LogBatch<'a> {
    db: &'a LogDb,
    writes: WriteBatch,
}

impl LogBatch<'_> {
    pub(crate) fn put_entry(&mut self, group: GroupId, index: u64, entry: &[u8]) {
        self.writes
            .put_cf(self.db.family(LOG), entry_key(group, index), entry);
    }

    /// Removes entries from index `from` on and below `to`.
    pub(crate) fn delete_entries(&mut self, group: GroupId, from: u64, to: u64) {
        self.writes
            .delete_range_cf(self.db.family(LOG), entry_key(group, from), entry_key(group, to));
    }

    pub(crate) fn put_fact(&mut self, group: GroupId, fact: Fact, value: &[u8]) {
        self.writes
            .put_cf(self.db.family(META), fact_key(group, fact), value);
    }

    pub(crate) fn delete_fact(&mut self, group: GroupId, fact: Fact) {
        self.writes.delete_cf(self.db.family(META), fact_key(group, fact));
    }

    pub(crate) fn put_node_fact(&mut self, key: &[u8], value: &[u8]) {
        self.writes.put_cf(self.db.family(NODE), key, value);
    }

    pub(crate) fn size(&self) -> usize {
        self.writes.size_in_bytes()
    }

    /// Writes everything and waits for the disk.
    pub(crate) fn sync(self) -> Result<(), Error> {
        self.db
            .db
            .write_opt(self.writes, &self.db.synced)
            .map_err(Error::engine("sync the log"))?;
        self.db.watermark.raise(self.db.db.latest_sequence_number())
    }
}

fn fact_key(group: GroupId, fact: Fact) -> [u8; 5] {
    let mut key = [0; 5];
    key[..4].copy_from_slice(&group.0.to_be_bytes());
    key[4] = fact as u8;
    key
}

fn entry_key(group: GroupId, index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&group.0.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

fn entry_index(key: &[u8]) -> Result<u64, Error> {
    key.get(4..)
        .and_then(|index| index.try_into().ok())
        .map(u64::from_be_bytes)
        .ok_or_else(|| Error::Corrupt("a log entry has a malformed key".into()))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    const GROUP: GroupId = GroupId(1);

    /// Writes 100 synced batches and returns the write-ahead log that holds them.
    fn write(folder: &Path) -> PathBuf {
        let db = LogDb::open(folder).expect("opens");
        for index in 0..100 {
            let mut batch = db.batch();
            batch.put_entry(GROUP, index, &[7; 300]);
            batch.sync().expect("syncs");
        }
        let files = fs::read_dir(folder)
            .expect("a folder")
            .filter_map(Result::ok)
            .map(|entry| entry.path());
        let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.max_by_key(|path| path.metadata().expect("a file").len())
            .expect("a log")
    }

    fn last_index(folder: &Path) -> Result<Option<u64>, Error> {
        Ok(LogDb::open(folder)?.last_entry(GROUP)?.map(|(index, _)| index))
    }

    #[test]
    fn a_torn_tail_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = write(folder.path());
        let whole = fs::read(&log).expect("reads");

        // A record that was being written when the process died: nobody was told about it.
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..100]);
        fs::write(&log, torn).expect("writes");
        assert_eq!(last_index(folder.path()).expect("opens"), Some(99));
    }

    #[test]
    fn a_log_that_lost_synced_records_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = write(folder.path());
        let mut damaged = fs::read(&log).expect("reads");
        let middle = damaged.len() / 3;
        damaged[middle] ^= 0xff;
        fs::write(&log, damaged).expect("writes");
        assert!(matches!(last_index(folder.path()), Err(Error::Corrupt(_))));
    }
}
