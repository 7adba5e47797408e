//! What the owner of a shard has to do at a time: suspended workers that go on, and tasks that somebody has scheduled.

use bytes::Bytes;
use kiln_proto::{
    ids::WorkerId,
    v1::{self, EndTask, Schedule, Task, WorkerRecord, shard_operation_reply::Reply},
};

use tokio::sync::watch;

use super::{
    Shard, epoch, index,
    keys::{self, WorkerNumber},
    record,
};
use crate::{Error, Table, Transaction};

/// Something whose time has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Due {
    /// A suspended worker goes on.
    Worker(WorkerId),
    /// A task is to be carried out, and ended after that.
    Task(Box<Task>),
}

/// Length of a task's id.
const ID_BYTES: usize = 16;

pub(super) fn add(state: &mut Transaction<'_>, task: &Task) {
    state.put(
        Table::Timer,
        keys::task(task.due_ns, &task.id),
        record::encode(task),
    );
}

pub(super) fn schedule(state: &mut Transaction<'_>, schedule: &Schedule) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, schedule.epoch)? {
        return Ok(refusal);
    }
    match &schedule.task {
        Some(task) if task.id.len() == ID_BYTES && task.task.is_some() => {
            add(state, task);
            Ok(Reply::Applied(v1::Applied { oplog_index: 0 }))
        }
        _ => Ok(Reply::Malformed("the task is not complete".into())),
    }
}

pub(super) fn end(state: &mut Transaction<'_>, end: &EndTask) -> Result<Reply, Error> {
    if let Some(refusal) = epoch::check(state, end.epoch)? {
        return Ok(refusal);
    }
    state.delete(Table::Timer, keys::task(end.due_ns, &end.id));
    Ok(Reply::Applied(v1::Applied { oplog_index: 0 }))
}

impl Shard {
    /// Changes whenever something may have become due earlier than [`Shard::next_due_after`] said.
    #[must_use]
    pub fn agenda(&self) -> watch::Receiver<u64> {
        self.group.machine().agenda().changes()
    }

    /// When the next thing after `now_ns` is due, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn next_due_after(&self, now_ns: u64) -> Result<Option<u64>, Error> {
        let reader = self.group.reader();
        let after_now = now_ns.saturating_add(1).to_be_bytes();
        let begin = [index::SLEEPING_PREFIX, &after_now].concat();
        let end = crate::engine::after_prefix(index::SLEEPING_PREFIX);
        let sleeper = reader.scan(Table::Index, &begin, &end, 1)?;
        let task = reader.scan(Table::Timer, &after_now, &[], 1)?;
        let sleeper = sleeper.first().map(|(key, _)| time_at(key, 1)).transpose()?;
        let task = task.first().map(|(key, _)| time_at(key, 0)).transpose()?;
        Ok(sleeper.into_iter().chain(task).min())
    }

    /// What is due at `now_ns`, earliest first; `limit` of each kind at most.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn due(&self, now_ns: u64, limit: usize) -> Result<Vec<Due>, Error> {
        let reader = self.group.reader();
        let after_now = now_ns.saturating_add(1).to_be_bytes();
        let mut due = Vec::new();
        let end = [index::SLEEPING_PREFIX, &after_now].concat();
        for (key, _) in reader.scan(Table::Index, index::SLEEPING_PREFIX, &end, limit)? {
            let number = keys::number_at(&key, 9)
                .map(WorkerNumber)
                .ok_or_else(|| Error::Corrupt("an index row of a sleeping worker is malformed".into()))?;
            // Absent when the worker has been deleted since.
            if let Some(found) = reader.get(Table::Worker, &keys::worker(number))? {
                due.push(Due::Worker(identity(&found)?));
            }
        }
        for (_, task) in reader.scan(Table::Timer, &[], &after_now, limit)? {
            due.push(Due::Task(Box::new(record::decode("a task", &task)?)));
        }
        Ok(due)
    }
}

fn time_at(key: &[u8], at: usize) -> Result<u64, Error> {
    keys::number_at(key, at).ok_or_else(|| Error::Corrupt("the time of a task is malformed".into()))
}

fn identity(found: &Bytes) -> Result<WorkerId, Error> {
    let found: WorkerRecord = record::decode("a worker record", found)?;
    let id = found.worker_id.as_ref().map(WorkerId::try_from);
    id.and_then(Result::ok)
        .ok_or_else(|| Error::Corrupt("a worker record has no identity".into()))
}
