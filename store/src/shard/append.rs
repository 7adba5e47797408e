//! Appending to an oplog: the entries, what they amount to, and all indexes over that, in one batch.

use std::sync::Arc;

use kiln_proto::{
    ids::{OplogIndex, WorkerId},
    v1::{
        AppendOplog, Applied, DeleteWorker, IndexMismatch, NoSuchWorker, OplogEntry, WorkerRecord,
        oplog_entry::Entry, shard_operation_reply::Reply,
    },
};
use prost::Message;

use super::{
    agenda::Agenda,
    cache::{Cache, Stored},
    chunk, epoch,
    facts::Facts,
    feed, index,
    keys::{self, WorkerNumber},
    promises, record, tally,
};
use crate::{
    Error, Table, Transaction,
    worker::{Fold, KeyChange},
};

pub(super) fn append(
    cache: &Cache,
    agenda: &Agenda,
    state: &mut Transaction<'_>,
    append: &AppendOplog,
) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, append.epoch)? {
        return Ok(refusal);
    }
    let worker = match identity(append.worker_id.as_ref()) {
        Ok(worker) => worker,
        Err(refusal) => return Ok(refusal),
    };
    let stored = cache.load(state, &worker)?;
    let last = stored.as_ref().map_or(0, |stored| stored.record.oplog_index);
    if append.first_index != last + 1 {
        return Ok(Reply::IndexMismatch(IndexMismatch { last_index: last }));
    }
    let entries = match decode(append, &worker) {
        Ok(entries) => entries,
        Err(refusal) => return Ok(refusal),
    };
    // The cache gives the record up, so that it can be changed in place.
    cache.remove(&worker);
    let (number, old) = match stored {
        Some(stored) => (stored.number, Some(Arc::unwrap_or_clone(stored.record))),
        None => (create(state, &worker)?, None),
    };
    let before = old.as_ref().map(|old| (old.change, Facts::of(old)));
    state.put(
        Table::Oplog,
        keys::oplog(number, OplogIndex(append.first_index)),
        chunk::encode(&append.entries),
    );
    let mut fold = fold(state, number, old, append.first_index, &entries)?;
    promises::follow(state, number, append.first_index, &entries, &mut fold.record)?;
    if fold.record.wake_at_ns.is_some() {
        agenda.touch();
    }
    for change in &fold.keys {
        put_key(state, number, change);
    }
    if cache.is_indexing {
        put_derived(state, &worker, number, before, &mut fold.record)?;
    }
    state.put(Table::Worker, keys::worker(number), record::encode(&fold.record));
    agenda.followed(&worker);
    let oplog_index = fold.record.oplog_index;
    cache.put(
        &worker,
        Stored {
            number,
            record: Arc::new(fold.record),
        },
    );
    Ok(Reply::Applied(Applied { oplog_index }))
}

/// Puts a worker's record where something but its oplog has changed it.
pub(super) fn put_record(
    cache: &Cache,
    state: &mut Transaction<'_>,
    worker: &WorkerId,
    before: Facts,
    mut stored: Stored,
) -> Result<(), Error> {
    let record = Arc::make_mut(&mut stored.record);
    let before = Some((record.change, before));
    if cache.is_indexing {
        put_derived(state, worker, stored.number, before, record)?;
    }
    state.put(
        Table::Worker,
        keys::worker(stored.number),
        record::encode(&*stored.record),
    );
    cache.put(worker, stored);
    Ok(())
}

/// Brings indexes, counters and feed from what a worker was, and at which change, to what its record says now.
pub(super) fn put_derived(
    state: &mut Transaction<'_>,
    worker: &WorkerId,
    number: WorkerNumber,
    before: Option<(u64, Facts)>,
    record: &mut WorkerRecord,
) -> Result<(), Error> {
    let (old, new) = (before.map(|before| before.1), Facts::of(record));
    if let Some((change, old)) = before
        && old == new
    {
        record.change = change;
        return Ok(());
    }
    if before.is_none() {
        index::put_variables(state, worker.component, number, record);
        tally::cover(state, worker.component, record, 1)?;
    }
    index::update(state, worker.component, number, old, Some(new));
    tally::update(state, worker.component, old, Some(new))?;
    // When a worker wakes is nothing that a list shows.
    record.change = match before {
        Some((change, old)) if old.is_alike(&new) => change,
        before => feed::changed(state, number, before)?,
    };
    Ok(())
}

pub(super) fn delete(
    cache: &Cache,
    agenda: &Agenda,
    state: &mut Transaction<'_>,
    delete: &DeleteWorker,
) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, delete.epoch)? {
        return Ok(refusal);
    }
    let worker = match identity(delete.worker_id.as_ref()) {
        Ok(worker) => worker,
        Err(refusal) => return Ok(refusal),
    };
    let Some(stored) = cache.load(state, &worker)? else {
        return Ok(Reply::NotFound(NoSuchWorker {}));
    };
    cache.remove(&worker);
    agenda.followed(&worker);
    let number = stored.number;
    for table in [Table::Oplog, Table::Idem, Table::Promise] {
        for (key, _) in state.scan_prefix(table, &keys::worker(number))? {
            state.delete(table, key);
        }
    }
    state.delete(Table::Worker, keys::worker(number));
    state.delete(Table::ByName, keys::by_name(&worker));
    if cache.is_indexing {
        delete_derived(state, &worker, number, &stored.record)?;
    }
    Ok(Reply::Applied(Applied {
        oplog_index: stored.record.oplog_index,
    }))
}

fn delete_derived(
    state: &mut Transaction<'_>,
    worker: &WorkerId,
    number: WorkerNumber,
    record: &WorkerRecord,
) -> Result<(), Error> {
    let facts = Some(Facts::of(record));
    index::delete_variables(state, worker.component, number, record);
    index::update(state, worker.component, number, facts, None);
    tally::cover(state, worker.component, record, -1)?;
    tally::update(state, worker.component, facts, None)?;
    feed::deleted(state, worker, record.change)
}

pub(super) fn identity(worker: Option<&kiln_proto::v1::WorkerId>) -> Result<WorkerId, Reply> {
    let worker = worker.ok_or_else(|| Reply::Malformed("the operation names no worker".into()))?;
    WorkerId::try_from(worker).map_err(|error| Reply::Malformed(error.to_string()))
}

/// Decodes the entries. The first entry of all says which worker it is, and only that one does.
pub(super) fn decode(append: &AppendOplog, worker: &WorkerId) -> Result<Vec<OplogEntry>, Reply> {
    if append.entries.is_empty() {
        return Err(Reply::Malformed("there are no entries".into()));
    }
    let mut entries = Vec::with_capacity(append.entries.len());
    for (index, bytes) in (append.first_index..).zip(&append.entries) {
        let entry = OplogEntry::decode(bytes.clone())
            .map_err(|error| Reply::Malformed(format!("entry {index} does not decode: {error}")))?;
        match &entry.entry {
            None => return Err(Reply::Malformed(format!("entry {index} is of an unknown kind"))),
            Some(Entry::Create(create)) if index == 1 => {
                let created = create
                    .worker_id
                    .as_ref()
                    .map(WorkerId::try_from)
                    .and_then(Result::ok);
                if created.as_ref() != Some(worker) {
                    return Err(Reply::Malformed("the Create entry is another worker's".into()));
                }
            }
            Some(Entry::Create(_)) => {
                return Err(Reply::Malformed(format!("entry {index} is a second Create")));
            }
            Some(_) if index == 1 => return Err(Reply::Malformed("the first entry is no Create".into())),
            Some(_) => {}
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn create(state: &mut Transaction<'_>, worker: &WorkerId) -> Result<WorkerNumber, Error> {
    let number = next_number(state)?;
    put_name(state, worker, number);
    Ok(number)
}

/// A number that no worker has had.
pub(super) fn next_number(state: &mut Transaction<'_>) -> Result<WorkerNumber, Error> {
    let number = match state.get(Table::Meta, keys::NEXT_WORKER)? {
        None => 1,
        Some(next) => keys::number_at(&next, 0)
            .ok_or_else(|| Error::Corrupt("the next worker number is malformed".into()))?,
    };
    state.put(
        Table::Meta,
        keys::NEXT_WORKER,
        (number + 1).to_be_bytes().to_vec(),
    );
    Ok(WorkerNumber(number))
}

fn put_name(state: &mut Transaction<'_>, worker: &WorkerId, number: WorkerNumber) {
    state.put(
        Table::ByName,
        keys::by_name(worker),
        number.0.to_be_bytes().to_vec(),
    );
}

/// A worker whose whole oplog lies under its number already.
pub(super) struct NewWorker<'a> {
    pub(super) worker: &'a WorkerId,
    pub(super) number: WorkerNumber,
    pub(super) entries: &'a [OplogEntry],
}

/// Makes a worker of entries that are written: name, record, keys, promises and indexes.
pub(super) fn found(
    cache: &Cache,
    agenda: &Agenda,
    state: &mut Transaction<'_>,
    new: &NewWorker<'_>,
) -> Result<Reply, Error> {
    put_name(state, new.worker, new.number);
    let mut fold = Fold::all((1..).zip(new.entries));
    // Whatever its model waited for, it finds out itself.
    fold.record.is_woken = true;
    promises::follow(state, new.number, 1, new.entries, &mut fold.record)?;
    agenda.touch();
    for change in &fold.keys {
        put_key(state, new.number, change);
    }
    put_derived(state, new.worker, new.number, None, &mut fold.record)?;
    state.put(
        Table::Worker,
        keys::worker(new.number),
        record::encode(&fold.record),
    );
    let oplog_index = fold.record.oplog_index;
    cache.put(
        new.worker,
        Stored {
            number: new.number,
            record: Arc::new(fold.record),
        },
    );
    Ok(Reply::Applied(Applied { oplog_index }))
}

fn fold(
    state: &mut Transaction<'_>,
    number: WorkerNumber,
    old: Option<WorkerRecord>,
    first: u64,
    entries: &[OplogEntry],
) -> Result<Fold, Error> {
    let mut fold = old.map_or_else(Fold::default, Fold::from);
    for (index, entry) in (first..).zip(entries) {
        fold.add(index, entry);
    }
    if fold.must_refold {
        refold(state, number)
    } else {
        Ok(fold)
    }
}

/// Folds the whole oplog anew, after entries in it were made void. Keys known only from those are forgotten.
fn refold(state: &mut Transaction<'_>, number: WorkerNumber) -> Result<Fold, Error> {
    let mut entries: Vec<(u64, OplogEntry)> = Vec::new();
    for (key, value) in state.scan_prefix(Table::Oplog, &keys::worker(number))? {
        for (index, entry) in chunk::decode(chunk::first(&key)?, value)? {
            let entry = OplogEntry::decode(entry)
                .map_err(|error| Error::Corrupt(format!("oplog entry {index} does not decode: {error}")))?;
            entries.push((index.0, entry));
        }
    }
    for (key, _) in state.scan_prefix(Table::Idem, &keys::worker(number))? {
        state.delete(Table::Idem, key);
    }
    let mut fold = Fold::all(entries.iter().map(|(index, entry)| (*index, entry)));
    // Not from the oplog: whoever called the worker meanwhile must not be forgotten.
    fold.record.is_woken = true;
    Ok(fold)
}

fn put_key(state: &mut Transaction<'_>, number: WorkerNumber, change: &KeyChange) {
    let key = keys::idem(number, &change.key);
    match &change.record {
        Some(known) => state.put(Table::Idem, key, record::encode(known)),
        None => state.delete(Table::Idem, key),
    }
}
