use std::{num::NonZeroUsize, sync::Arc};

use bytes::Bytes;
use kiln_proto::{ids::WorkerId, v1::WorkerRecord};
use lru::LruCache;
use parking_lot::Mutex;

use super::{
    keys::{self, WorkerNumber},
    record,
};
use crate::{Error, Reader, Table, Transaction};

/// Worker records that are kept decoded.
const RECORDS_MAX: NonZeroUsize = NonZeroUsize::new(16 << 10).expect("not zero");

/// A worker as the tables have it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) number: WorkerNumber,
    pub(super) record: Arc<WorkerRecord>,
}

/// Decoded records of the workers that were used last. Written only while a command is applied.
pub(super) struct Cache {
    records: Mutex<LruCache<WorkerId, Stored>>,
    /// Indexes, counters and feed are kept. Off only to measure what they cost.
    pub(super) is_indexing: bool,
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(true)
    }
}

impl Cache {
    pub(super) fn new(is_indexing: bool) -> Self {
        Self {
            records: Mutex::new(LruCache::new(RECORDS_MAX)),
            is_indexing,
        }
    }

    /// For the machine: a worker with all changes of the transaction so far.
    pub(super) fn load(&self, state: &Transaction<'_>, worker: &WorkerId) -> Result<Option<Stored>, Error> {
        if let Some(stored) = self.records.lock().get(worker) {
            return Ok(Some(stored.clone()));
        }
        let stored = read(worker, |table, key| state.get(table, key))?;
        if let Some(stored) = &stored {
            self.put(worker, stored.clone());
        }
        Ok(stored)
    }

    pub(super) fn put(&self, worker: &WorkerId, stored: Stored) {
        self.records.lock().put(worker.clone(), stored);
    }

    pub(super) fn remove(&self, worker: &WorkerId) {
        self.records.lock().pop(worker);
    }

    pub(super) fn clear(&self) {
        self.records.lock().clear();
    }
}

/// For readers: a worker as it was written last.
pub(super) fn read_applied(reader: &Reader, worker: &WorkerId) -> Result<Option<Stored>, Error> {
    read(worker, |table, key| reader.get(table, key))
}

/// For readers: the number under which a worker is kept.
pub(super) fn read_number(reader: &Reader, worker: &WorkerId) -> Result<Option<WorkerNumber>, Error> {
    number(worker, reader.get(Table::ByName, &keys::by_name(worker))?)
}

fn number(worker: &WorkerId, stored: Option<Bytes>) -> Result<Option<WorkerNumber>, Error> {
    let malformed = || Error::Corrupt(format!("the number of worker {worker} is malformed"));
    stored
        .map(|number| {
            keys::number_at(&number, 0)
                .map(WorkerNumber)
                .ok_or_else(malformed)
        })
        .transpose()
}

pub(super) fn read(
    worker: &WorkerId,
    get: impl Fn(Table, &[u8]) -> Result<Option<Bytes>, Error>,
) -> Result<Option<Stored>, Error> {
    let Some(number) = number(worker, get(Table::ByName, &keys::by_name(worker))?)? else {
        return Ok(None);
    };
    // Absent when the worker was deleted between the two reads.
    let Some(record) = get(Table::Worker, &keys::worker(number))? else {
        return Ok(None);
    };
    let record = Arc::new(record::decode("a worker record", &record)?);
    Ok(Some(Stored { number, record }))
}
