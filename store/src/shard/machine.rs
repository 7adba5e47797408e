use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use kiln_proto::v1::{
    ShardCommand, ShardCommandReply, ShardOperationReply, shard_operation::Operation,
    shard_operation_reply::Reply,
};
use prost::Message;

use super::{agenda::Agenda, append, cache::Cache, epoch, layout, promises, stage, storage, tasks};
use crate::{Error, Machine, Transaction};

/// Applies shard commands: a pure function of them and of the tables.
#[derive(Default)]
pub struct ShardMachine {
    cache: Cache,
    agenda: Agenda,
    /// The layout of derived rows has been looked at.
    is_current: AtomicBool,
}

impl Machine for ShardMachine {
    fn apply(&self, state: &mut Transaction<'_>, command: Bytes) -> Result<Bytes, Error> {
        let command = ShardCommand::decode(command)
            .map_err(|error| Error::Corrupt(format!("a shard command does not decode: {error}")))?;
        if !self.is_current.load(Ordering::Relaxed) {
            layout::ensure(state)?;
            self.is_current.store(true, Ordering::Relaxed);
        }
        let replies = command
            .operations
            .iter()
            .map(|operation| {
                let reply = self.operate(state, operation.operation.as_ref())?;
                Ok(ShardOperationReply { reply: Some(reply) })
            })
            .collect::<Result<_, Error>>()?;
        Ok(ShardCommandReply { replies }.encode_to_vec().into())
    }

    fn written(&self) {
        self.agenda.written();
    }

    fn reset(&self) {
        self.cache.clear();
        self.agenda.touch();
        self.is_current.store(false, Ordering::Relaxed);
    }
}

impl ShardMachine {
    /// A machine that keeps no indexes, counters and feed, so that nothing can be listed: to measure what they cost.
    #[must_use]
    pub fn without_indexes() -> Self {
        Self {
            cache: Cache::new(false),
            ..Self::default()
        }
    }

    pub(super) fn agenda(&self) -> &Agenda {
        &self.agenda
    }

    fn operate(&self, state: &mut Transaction<'_>, operation: Option<&Operation>) -> Result<Reply, Error> {
        match operation {
            Some(Operation::OpenEpoch(open)) => epoch::open(state, open),
            Some(Operation::Append(append)) => append::append(&self.cache, &self.agenda, state, append),
            Some(Operation::DeleteWorker(delete)) => append::delete(&self.cache, &self.agenda, state, delete),
            Some(Operation::CompletePromise(complete)) => {
                self.agenda.touch();
                promises::complete(&self.cache, state, complete)
            }
            Some(Operation::AwaitPromise(wait)) => promises::read(&self.cache, state, wait),
            Some(Operation::DeletePromise(delete)) => promises::delete(&self.cache, state, delete),
            Some(Operation::WakeWorker(wake)) => {
                self.agenda.touch();
                promises::wake(&self.cache, state, wake)
            }
            Some(Operation::Schedule(schedule)) => {
                self.agenda.touch();
                tasks::schedule(state, schedule)
            }
            Some(Operation::EndTask(end)) => tasks::end(state, end),
            Some(Operation::StageOplog(staged)) => stage::stage(state, staged),
            Some(Operation::PublishOplog(publish)) => {
                stage::publish(&self.cache, &self.agenda, state, publish)
            }
            // A newer node's operation: to skip it would make this replica differ from the others.
            other => storage::operate(state, other)?.ok_or_else(|| {
                Error::Corrupt("a shard operation is of a kind that this version does not know".into())
            }),
        }
    }
}
