use std::sync::Arc;

use kiln_proto::{
    Error,
    convert::now_ns,
    ids::{Epoch, IdempotencyKey, OplogIndex, WorkerId},
    v1::{KeyRecord, OplogEntry, WorkerRecord, key_record::State, oplog_entry::Entry},
};
use kiln_store::Shard;
use prost::Message as _;

use super::Activity;
use crate::{
    context::Context,
    invoke::outcome::{Recorded, recorded_outcome},
};

/// Where a worker lives: its shard, under the epoch of this ownership.
pub(crate) struct Seat {
    pub(crate) id: WorkerId,
    pub(crate) shard: Shard,
    pub(crate) epoch: Epoch,
    pub(crate) context: Arc<Context>,
    pub(crate) activity: Arc<Activity>,
}

impl Seat {
    /// What the oplog amounts to; `None` when the worker does not exist.
    pub(crate) fn record(&self) -> Result<Option<WorkerRecord>, Error> {
        Ok(self.shard.worker(&self.id)?)
    }

    /// The record of a worker that must exist.
    pub(crate) fn existing(&self) -> Result<WorkerRecord, Error> {
        self.record()?
            .ok_or_else(|| Error::not_found(format!("worker {} does not exist", self.id)))
    }

    /// How the invocation with this key ended, if it did.
    pub(crate) fn finished(&self, key: &IdempotencyKey) -> Result<Option<Recorded>, Error> {
        let Some(record) = self.shard.key_record(&self.id, key)? else {
            return Ok(None);
        };
        if record.state() != State::Done {
            return Ok(None);
        }
        let KeyRecord { oplog_index, .. } = record;
        recorded_outcome(self.entry(OplogIndex(oplog_index))?).map(Some)
    }

    /// Appends entries while no journal of the worker is open, and returns the record with them.
    pub(crate) async fn append(
        &self,
        record: &WorkerRecord,
        entries: Vec<Entry>,
    ) -> Result<WorkerRecord, Error> {
        let timestamp_ns = now_ns();
        let encode = |entry| {
            OplogEntry {
                timestamp_ns,
                entry: Some(entry),
            }
            .encode_to_vec()
            .into()
        };
        let entries = entries.into_iter().map(encode).collect();
        let first = OplogIndex(record.oplog_index + 1);
        self.shard.append(self.epoch, &self.id, first, entries).await?;
        self.existing()
    }

    /// One entry of the oplog.
    pub(crate) fn entry(&self, index: OplogIndex) -> Result<OplogEntry, Error> {
        let corrupt = || Error::corrupt(format!("entry {index} of worker {} cannot be read", self.id));
        let page = self.shard.read_oplog(&self.id, index, 1, usize::MAX)?;
        let (found, bytes) = page.into_iter().next().ok_or_else(corrupt)?;
        if found != index {
            return Err(corrupt());
        }
        OplogEntry::decode(bytes).map_err(|_| corrupt())
    }
}
