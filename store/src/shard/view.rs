use bytes::Bytes;
use kiln_proto::{
    ids::{ComponentId, WorkerId},
    v1::WorkerRecord,
};

use super::{
    Shard,
    cache::{self, Stored},
    feed::{self, Before},
    index,
    keys::{self, WorkerNumber},
    record,
    tally::{self, Tally},
    variable::VariableKind,
};
use crate::{
    Error, Table,
    engine::{Moment, after_prefix},
};

/// What a replica had applied at one moment. Everything that is read from it agrees.
pub struct View<'a> {
    pub(super) moment: Moment<'a>,
}

/// A worker's latest change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was created, or changed its status or version.
    Changed {
        /// Its encoded record.
        record: Bytes,
        /// What it was before; `None` for a creation.
        before: Option<Before>,
    },
    /// It was deleted.
    Deleted(WorkerId),
}

/// Changes after some change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// In order, each with its number.
    pub changes: Vec<(u64, Change)>,
    /// Deletions in between have been forgotten.
    pub is_too_old: bool,
}

impl Shard {
    /// Looks at everything that this replica has applied, as of now. After [`barrier`](Self::barrier) on the owner it
    /// includes everything that was acknowledged before.
    pub fn view<R>(&self, look: impl FnOnce(&View<'_>) -> R) -> R {
        let reader = self.group().reader();
        let moment = reader.moment();
        look(&View { moment })
    }
}

impl View<'_> {
    /// A worker's encoded record.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn record(&self, number: WorkerNumber) -> Result<Option<Bytes>, Error> {
        let stored = self.moment.get(Table::Worker, &keys::worker(number))?;
        stored
            .map(|stored| record::message("a worker record", &stored))
            .transpose()
    }

    /// A worker with its number.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn worker(&self, worker: &WorkerId) -> Result<Option<(WorkerNumber, WorkerRecord)>, Error> {
        let stored = cache::read(worker, |table, key| self.moment.get(table, key))?;
        Ok(stored.map(|Stored { number, record }| (number, std::sync::Arc::unwrap_or_clone(record))))
    }

    /// How many workers there are, by component, status and version; zeroes are left out.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn tallies(&self, component: Option<ComponentId>) -> Result<Vec<Tally>, Error> {
        let prefix = tally::prefix(component);
        let mut tallies = Vec::new();
        self.visit(Table::Meta, &prefix, &after_prefix(&prefix), |key, count| {
            tallies.push(tally::read(key, count)?);
            Ok(true)
        })?;
        Ok(tallies)
    }

    /// How many of a component's workers were created with this variable declared as indexed.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn covered(&self, component: ComponentId, kind: VariableKind, key: &str) -> Result<u64, Error> {
        let count = self
            .moment
            .get(Table::Meta, &tally::covered_key(component, kind, key))?;
        count.map_or(Ok(0), |count| tally::decode(&count))
    }

    /// The number of the last change.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn last_change(&self) -> Result<u64, Error> {
        Ok(self.feed_ends()?.0)
    }

    /// Up to `limit` changes after the one with the number `after`. Of each worker only its latest change is there.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn changes(&self, after: u64, limit: usize) -> Result<Changes, Error> {
        let (last, forgotten) = self.feed_ends()?;
        if after < forgotten || after > last {
            return Ok(Changes {
                is_too_old: true,
                ..Changes::default()
            });
        }
        let mut changes = self.feed_rows(feed::CHANGED, after, limit, |value| {
            let (number, before) = feed::read(value)?;
            let record = self
                .record(number)?
                .ok_or_else(|| Error::Corrupt("a changed worker has no record".into()))?;
            Ok(Change::Changed { record, before })
        })?;
        changes.extend(self.feed_rows(feed::DELETED, after, limit, |value| {
            Ok(Change::Deleted(keys::worker_of_name(value)?))
        })?);
        changes.sort_by_key(|(change, _)| *change);
        changes.truncate(limit);
        Ok(Changes {
            changes,
            is_too_old: false,
        })
    }

    fn feed_ends(&self) -> Result<(u64, u64), Error> {
        feed::ends(|key| self.moment.get(Table::Meta, key))
    }

    fn feed_rows(
        &self,
        kind: u8,
        after: u64,
        limit: usize,
        read: impl Fn(&[u8]) -> Result<Change, Error>,
    ) -> Result<Vec<(u64, Change)>, Error> {
        let mut found = Vec::new();
        let (from, to) = (feed::key(kind, after.saturating_add(1)), feed::key(kind + 1, 0));
        self.visit(Table::Index, &from, &to, |key, value| {
            let change = keys::number_at(key, 1);
            let change = change.ok_or_else(|| Error::Corrupt("a change has a malformed key".into()))?;
            found.push((change, read(value)?));
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// Workers that a new owner has to recover.
    pub(super) fn unfinished(&self) -> Result<Vec<WorkerId>, Error> {
        let mut workers = Vec::new();
        let malformed = || Error::Corrupt("an index row of an unfinished worker is malformed".into());
        let prefix = index::UNFINISHED_PREFIX;
        self.visit(Table::Index, prefix, &after_prefix(prefix), |key, _| {
            let number = keys::number_at(key, 1).map(WorkerNumber).ok_or_else(malformed)?;
            let record: WorkerRecord = self
                .moment
                .get(Table::Worker, &keys::worker(number))?
                .map(|stored| record::decode("a worker record", &stored))
                .transpose()?
                .ok_or_else(malformed)?;
            let worker = record.worker_id.as_ref().map(WorkerId::try_from);
            workers.push(worker.and_then(Result::ok).ok_or_else(malformed)?);
            Ok(true)
        })?;
        Ok(workers)
    }

    /// Shows rows until the visitor has enough.
    pub(super) fn visit(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        mut visitor: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut rows = self.moment.rows(table, from, to);
        while let Some((key, value)) = rows.item() {
            if !visitor(key, value)? {
                return Ok(());
            }
            rows.next();
        }
        rows.status()
    }
}
