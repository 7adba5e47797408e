//! Promises. One is made by the oplog entry that says so, in the same batch; nobody can know of it before.

use bytes::Bytes;
use kiln_proto::{
    ids::WorkerId,
    v1::{
        self, AwaitPromise, CompletePromise, DeletePromise, NoSuchWorker, OplogEntry, PromiseId,
        PromiseRecord, Task, WakeWorker, WorkerRecord, WorkerStatus, oplog_entry::Entry,
        shard_operation_reply::Reply, task::Task as What,
    },
};

use super::{
    append::{self, put_record},
    cache::Cache,
    epoch,
    facts::Facts,
    keys::{self, WorkerNumber},
    record, tasks,
};
use crate::{Error, Table, Transaction};

/// The host call whose entry makes a promise.
const CREATE: &str = "golem::api::create_promise";

/// Makes the promises that new entries speak of, and lets a worker that is suspended now be woken by those it waits for.
pub(super) fn follow(
    state: &mut Transaction<'_>,
    number: WorkerNumber,
    first: u64,
    entries: &[OplogEntry],
    worker: &mut WorkerRecord,
) -> Result<(), Error> {
    for (index, entry) in (first..).zip(entries) {
        if is_creation(entry) {
            put(state, number, index, &PromiseRecord::default());
        }
    }
    let Some(Entry::Suspend(suspend)) = entries.last().and_then(|entry| entry.entry.as_ref()) else {
        return Ok(());
    };
    if worker.status() != WorkerStatus::Suspended {
        return Ok(());
    }
    let own = suspend
        .promises
        .iter()
        .filter(|promise| promise.worker_id == worker.worker_id);
    for promise in own {
        match get(state, number, promise.oplog_index)? {
            Some(pending) if pending.data.is_none() => {
                let waiter = worker.worker_id.clone();
                add_waiter(state, number, promise.oplog_index, pending, waiter);
            }
            // It has its value, or will never have one: the guest finds out which.
            Some(_) | None => worker.wake_at_ns = Some(0),
        }
    }
    Ok(())
}

fn is_creation(entry: &OplogEntry) -> bool {
    matches!(&entry.entry, Some(Entry::ImportedFunctionInvoked(call)) if call.function_name == CREATE)
}

pub(super) fn complete(
    cache: &Cache,
    state: &mut Transaction<'_>,
    complete: &CompletePromise,
) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, complete.epoch)? {
        return Ok(refusal);
    }
    let (number, index) = match locate(cache, state, complete.promise.as_ref())? {
        Ok(found) => found,
        Err(refusal) => return Ok(refusal),
    };
    let Some(promise) = get(state, number, index)? else {
        return Ok(Reply::NotFound(NoSuchWorker {}));
    };
    if promise.data.is_some() {
        return Ok(Reply::Completed(promise.token == complete.token));
    }
    let completed = PromiseRecord {
        data: Some(complete.data.clone()),
        token: complete.token.clone(),
        waiters: Vec::new(),
    };
    put(state, number, index, &completed);
    for waiter in promise.waiters {
        wake_wherever(cache, state, complete.promise.as_ref(), waiter)?;
    }
    Ok(Reply::Completed(true))
}

/// Reads a promise, and notes who waits for it.
pub(super) fn read(cache: &Cache, state: &mut Transaction<'_>, wait: &AwaitPromise) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, wait.epoch)? {
        return Ok(refusal);
    }
    let (number, index) = match locate(cache, state, wait.promise.as_ref())? {
        Ok(found) => found,
        Err(refusal) => return Ok(refusal),
    };
    let Some(promise) = get(state, number, index)? else {
        return Ok(Reply::NotFound(NoSuchWorker {}));
    };
    if promise.data.is_none() && wait.waiter.is_some() {
        add_waiter(state, number, index, promise.clone(), wait.waiter.clone());
    }
    Ok(Reply::Promise(promise))
}

pub(super) fn delete(
    cache: &Cache,
    state: &mut Transaction<'_>,
    delete: &DeletePromise,
) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, delete.epoch)? {
        return Ok(refusal);
    }
    let (number, index) = match locate(cache, state, delete.promise.as_ref())? {
        Ok(found) => found,
        Err(refusal) => return Ok(refusal),
    };
    state.delete(Table::Promise, keys::promise(number, index));
    Ok(Reply::Applied(v1::Applied { oplog_index: index }))
}

/// Lets a suspended worker go on; one that runs will not stay suspended.
pub(super) fn wake(cache: &Cache, state: &mut Transaction<'_>, wake: &WakeWorker) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, wake.epoch)? {
        return Ok(refusal);
    }
    let worker = match append::identity(wake.worker_id.as_ref()) {
        Ok(worker) => worker,
        Err(refusal) => return Ok(refusal),
    };
    wake_here(cache, state, &worker)?;
    Ok(Reply::Applied(v1::Applied { oplog_index: 0 }))
}

/// True when the worker is one of this shard.
fn wake_here(cache: &Cache, state: &mut Transaction<'_>, worker: &WorkerId) -> Result<bool, Error> {
    let Some(mut stored) = cache.load(state, worker)? else {
        return Ok(false);
    };
    let before = Facts::of(&stored.record);
    let woken = std::sync::Arc::make_mut(&mut stored.record);
    if woken.status() == WorkerStatus::Suspended {
        woken.wake_at_ns = Some(0);
    } else {
        woken.is_woken = true;
    }
    put_record(cache, state, worker, before, stored)?;
    Ok(true)
}

/// Wakes a worker of this shard now; the owner passes it on to a worker of another.
fn wake_wherever(
    cache: &Cache,
    state: &mut Transaction<'_>,
    promise: Option<&PromiseId>,
    waiter: v1::WorkerId,
) -> Result<(), Error> {
    let Ok(worker) = append::identity(Some(&waiter)) else {
        return Ok(());
    };
    if !wake_here(cache, state, &worker)? {
        tasks::add(
            state,
            &Task {
                due_ns: 0,
                id: task_id(promise, &waiter),
                task: Some(What::Wake(waiter)),
            },
        );
    }
    Ok(())
}

/// The same on every replica, another for each promise and waiter.
fn task_id(promise: Option<&PromiseId>, waiter: &v1::WorkerId) -> Bytes {
    let mut text = record::encode(waiter).to_vec();
    text.extend(promise.map(record::encode).unwrap_or_default());
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &text);
    Bytes::copy_from_slice(id.as_bytes())
}

/// Where a promise lies, or why there is none.
fn locate(
    cache: &Cache,
    state: &Transaction<'_>,
    promise: Option<&PromiseId>,
) -> Result<Result<(WorkerNumber, u64), Reply>, Error> {
    let Some(promise) = promise else {
        return Ok(Err(Reply::Malformed("the operation names no promise".into())));
    };
    let worker = match append::identity(promise.worker_id.as_ref()) {
        Ok(worker) => worker,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(match cache.load(state, &worker)? {
        Some(stored) => Ok((stored.number, promise.oplog_index)),
        None => Err(Reply::NotFound(NoSuchWorker {})),
    })
}

fn get(state: &Transaction<'_>, number: WorkerNumber, index: u64) -> Result<Option<PromiseRecord>, Error> {
    let found = state.get(Table::Promise, &keys::promise(number, index))?;
    found.map(|found| record::decode("a promise", &found)).transpose()
}

fn put(state: &mut Transaction<'_>, number: WorkerNumber, index: u64, promise: &PromiseRecord) {
    state.put(
        Table::Promise,
        keys::promise(number, index),
        record::encode(promise),
    );
}

fn add_waiter(
    state: &mut Transaction<'_>,
    number: WorkerNumber,
    index: u64,
    mut promise: PromiseRecord,
    waiter: Option<v1::WorkerId>,
) {
    let Some(waiter) = waiter.filter(|waiter| !promise.waiters.contains(waiter)) else {
        return;
    };
    promise.waiters.push(waiter);
    put(state, number, index, &promise);
}
