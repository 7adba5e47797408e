//! Reads of a shard's applied state. After [`Shard::barrier`] on the owner they are linearizable.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use kiln_proto::{
    ids::{ComponentId, IdempotencyKey, OplogIndex, WorkerId},
    v1::{KeyRecord, WorkerRecord, WorkerStatus},
};

use super::{Shard, cache, chunk, keys, record};
use crate::{Error, Table};

impl Shard {
    /// Waits until this replica, as the leader, has applied everything that was committed before the call.
    ///
    /// # Errors
    /// `NotLeader`, or `Unavailable` when no majority confirms the leadership.
    pub async fn barrier(&self) -> Result<(), Error> {
        self.group.read_barrier().await
    }

    /// When this replica last knew itself up to date: the age of what it serves.
    #[must_use]
    pub fn applied_at(&self) -> Instant {
        self.group.applied_at()
    }

    /// A worker's record, if it exists.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, Error> {
        let stored = cache::read_applied(&self.group.reader(), worker)?;
        Ok(stored.map(|stored| Arc::unwrap_or_clone(stored.record)))
    }

    /// A worker's encoded entries from `from` on: at most `limit_entries`, and no more once `limit_bytes` are
    /// reached. Empty when there are none, or no such worker.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn read_oplog(
        &self,
        worker: &WorkerId,
        from: OplogIndex,
        limit_entries: usize,
        limit_bytes: usize,
    ) -> Result<Vec<(OplogIndex, Bytes)>, Error> {
        let reader = self.group.reader();
        let Some(number) = cache::read_number(&reader, worker)? else {
            return Ok(Vec::new());
        };
        let from = from.max(OplogIndex::FIRST);
        // The chunk that holds `from` begins at it or before.
        let begin = keys::oplog(number, OplogIndex::NONE);
        let start = reader
            .last_at_or_before(Table::Oplog, &begin, &keys::oplog(number, from))?
            .map_or(begin, |(key, _)| key.to_vec());
        let end = keys::oplog(number, OplogIndex(u64::MAX));
        let mut page = Page {
            from,
            limit_entries,
            limit_bytes,
            bytes: 0,
            entries: Vec::new(),
        };
        let mut failure = None;
        reader.visit(Table::Oplog, &start, &end, |key, value| {
            match page.add_chunk(key, value) {
                Ok(goes_on) => goes_on,
                Err(error) => {
                    failure = Some(error);
                    false
                }
            }
        })?;
        failure.map_or(Ok(page.entries), Err)
    }

    /// What is known of one of a worker's idempotency keys.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn key_record(&self, worker: &WorkerId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, Error> {
        let reader = self.group.reader();
        let Some(number) = cache::read_number(&reader, worker)? else {
            return Ok(None);
        };
        let known = reader.get(Table::Idem, &keys::idem(number, key.as_str()))?;
        known
            .map(|known| record::decode("what is known of a key", &known))
            .transpose()
    }

    /// How many workers there are, by component and status; zeroes are left out.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn counts(
        &self,
        component: Option<ComponentId>,
    ) -> Result<Vec<(ComponentId, WorkerStatus, u64)>, Error> {
        let mut counts: Vec<(ComponentId, WorkerStatus, u64)> = Vec::new();
        for tally in self.view(|view| view.tallies(component))? {
            match counts.last_mut() {
                Some((component, status, count))
                    if *component == tally.component && *status == tally.status =>
                {
                    *count += tally.count;
                }
                _ => counts.push((tally.component, tally.status, tally.count)),
            }
        }
        Ok(counts)
    }

    /// Workers that a new owner has to recover: running, retrying or suspended, or with work waiting.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn unfinished(&self) -> Result<Vec<WorkerId>, Error> {
        self.view(|view| view.unfinished())
    }
}

/// Entries of an oplog that are being gathered.
struct Page {
    from: OplogIndex,
    limit_entries: usize,
    limit_bytes: usize,
    bytes: usize,
    entries: Vec<(OplogIndex, Bytes)>,
}

impl Page {
    /// Takes a chunk's entries; false when the page is full.
    fn add_chunk(&mut self, key: &[u8], value: &[u8]) -> Result<bool, Error> {
        for entry in chunk::decode_from(chunk::first(key)?, Bytes::copy_from_slice(value), self.from)? {
            let (index, entry) = entry?;
            if self.entries.len() >= self.limit_entries
                || (self.bytes >= self.limit_bytes && !self.entries.is_empty())
            {
                return Ok(false);
            }
            if let Some((last, _)) = self.entries.last()
                && last.next() != index
            {
                return Err(Error::Corrupt(format!(
                    "an oplog has a gap between {last} and {index}"
                )));
            }
            self.bytes += entry.len();
            self.entries.push((index, entry));
        }
        Ok(true)
    }
}
