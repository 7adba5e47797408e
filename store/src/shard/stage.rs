//! Oplogs that are copied here from another worker: laid aside piece by piece where nobody sees them, then published as a
//! whole, so that no half of a worker is ever seen or left behind.

use bytes::Bytes;
use kiln_proto::v1::{
    AppendOplog, Applied, IndexMismatch, NoSuchWorker, PublishOplog, StageOplog, StageRecord,
    shard_operation_reply::Reply,
};

use super::{
    agenda::Agenda,
    append::{self, NewWorker},
    cache::Cache,
    chunk, epoch,
    keys::{self, WorkerNumber},
    record,
};
use crate::{Error, Table, Transaction};
use kiln_proto::ids::OplogIndex;

/// Copies that are under way at one shard; beyond it the oldest is given up.
const STAGES_MAX: usize = 16;

pub(super) fn stage(state: &mut Transaction<'_>, stage: &StageOplog) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, stage.epoch)? {
        return Ok(refusal);
    }
    if stage.token.is_empty() || stage.entries.is_empty() {
        return Ok(Reply::Malformed("a copy needs a token and entries".into()));
    }
    let mut staged = match find(state, &stage.token)? {
        Some(staged) => staged,
        None => begin(state)?,
    };
    if stage.first_index <= staged.last_index {
        return Ok(Reply::Applied(Applied {
            oplog_index: staged.last_index,
        }));
    }
    if stage.first_index != staged.last_index + 1 {
        return Ok(Reply::IndexMismatch(IndexMismatch {
            last_index: staged.last_index,
        }));
    }
    state.put(
        Table::Oplog,
        keys::oplog(WorkerNumber(staged.number), OplogIndex(stage.first_index)),
        chunk::encode(&stage.entries),
    );
    staged.last_index += stage.entries.len() as u64;
    state.put(Table::Meta, keys::stage(&stage.token), record::encode(&staged));
    Ok(Reply::Applied(Applied {
        oplog_index: staged.last_index,
    }))
}

pub(super) fn publish(
    cache: &Cache,
    agenda: &Agenda,
    state: &mut Transaction<'_>,
    publish: &PublishOplog,
) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, publish.epoch)? {
        return Ok(refusal);
    }
    let worker = match append::identity(publish.worker_id.as_ref()) {
        Ok(worker) => worker,
        Err(refusal) => return Ok(refusal),
    };
    if cache.load(state, &worker)?.is_some() {
        return Ok(Reply::Malformed(format!("worker {worker} exists already")));
    }
    let Some(staged) = find(state, &publish.token)? else {
        return Ok(Reply::NotFound(NoSuchWorker {}));
    };
    let number = WorkerNumber(staged.number);
    let whole = AppendOplog {
        epoch: publish.epoch,
        worker_id: publish.worker_id.clone(),
        first_index: 1,
        entries: entries(state, number)?,
    };
    let entries = match append::decode(&whole, &worker) {
        Ok(entries) => entries,
        Err(refusal) => return Ok(refusal),
    };
    state.delete(Table::Meta, keys::stage(&publish.token));
    let new = NewWorker {
        worker: &worker,
        number,
        entries: &entries,
    };
    append::found(cache, agenda, state, &new)
}

/// Gives up all copies: whoever makes them begins anew under the new epoch.
pub(super) fn clear(state: &mut Transaction<'_>) -> Result<(), Error> {
    for (key, staged) in state.scan_prefix(Table::Meta, keys::STAGE_PREFIX)? {
        remove(state, &key, &record::decode("a copy", &staged)?)?;
    }
    Ok(())
}

fn find(state: &Transaction<'_>, token: &Bytes) -> Result<Option<StageRecord>, Error> {
    let found = state.get(Table::Meta, &keys::stage(token))?;
    found.map(|found| record::decode("a copy", &found)).transpose()
}

fn begin(state: &mut Transaction<'_>) -> Result<StageRecord, Error> {
    let mut others: Vec<(Vec<u8>, StageRecord)> = Vec::new();
    for (key, staged) in state.scan_prefix(Table::Meta, keys::STAGE_PREFIX)? {
        others.push((key.to_vec(), record::decode("a copy", &staged)?));
    }
    others.sort_by_key(|(_, staged)| staged.number);
    let surplus = (others.len() + 1).saturating_sub(STAGES_MAX);
    for (key, staged) in others.iter().take(surplus) {
        remove(state, key, staged)?;
    }
    Ok(StageRecord {
        number: append::next_number(state)?.0,
        last_index: 0,
    })
}

fn remove(state: &mut Transaction<'_>, key: &[u8], staged: &StageRecord) -> Result<(), Error> {
    for (entry, _) in state.scan_prefix(Table::Oplog, &keys::worker(WorkerNumber(staged.number)))? {
        state.delete(Table::Oplog, entry);
    }
    state.delete(Table::Meta, key.to_vec());
    Ok(())
}

fn entries(state: &Transaction<'_>, number: WorkerNumber) -> Result<Vec<Bytes>, Error> {
    let mut entries = Vec::new();
    for (key, value) in state.scan_prefix(Table::Oplog, &keys::worker(number))? {
        let decoded = chunk::decode(chunk::first(&key)?, value)?;
        entries.extend(decoded.into_iter().map(|(_, entry)| entry));
    }
    Ok(entries)
}
