//! A worker that is made of a copy of another one's oplog.

use std::ops::ControlFlow;

use bytes::Bytes;
use kiln_proto::{
    Error,
    v1::{EmptyEntry, WorkerRecord, WorkerStatus, oplog_entry::Entry},
};

use super::{
    Actor,
    mailbox::{Adoption, Reply},
};

impl Actor {
    /// Publishes what was staged as this worker and lets it go on from there.
    pub(super) async fn adopt(&mut self, adoption: Adoption, reply: Reply<()>) -> ControlFlow<()> {
        let adopted = self.publish(adoption).await;
        let flow = match &adopted {
            Err(error) if error.is_retryable() => self.stop(error),
            _ => ControlFlow::Continue(()),
        };
        let _ = reply.send(adopted);
        flow
    }

    async fn publish(&mut self, adoption: Adoption) -> Result<(), Error> {
        if let Some(record) = self.seat.record()? {
            return adopted_before(&record, &adoption.fork_token);
        }
        // An unborn body may be here from a call that was refused.
        self.drop_body();
        let seat = &self.seat;
        let published = seat.shard.publish(seat.epoch, &seat.id, adoption.token).await;
        published.map_err(|error| match error {
            kiln_store::Error::NotFound(_) => Error::conflict("nothing is staged for this worker any more"),
            other => other.into(),
        })?;
        let record = seat.existing()?;
        if record.status() == WorkerStatus::WorkerInterrupted {
            seat.append(&record, vec![Entry::Restart(EmptyEntry {})]).await?;
        }
        self.desk.is_wanted = true;
        Ok(())
    }
}

/// Whether the worker that is there came from this very fork.
pub(crate) fn adopted_before(record: &WorkerRecord, token: &Bytes) -> Result<(), Error> {
    if !token.is_empty() && record.fork_token == *token {
        return Ok(());
    }
    Err(Error::already_exists("Worker already exists"))
}
