//! How a stretch of work ends, and what becomes of the worker and its callers then.

use std::ops::ControlFlow;

use kiln_proto::{
    Error,
    ids::OplogIndex,
    v1::{EmptyEntry, ErrorEntry, SuspendEntry, WorkerRecord, WorkerStatus, oplog_entry::Entry},
};
use rand::Rng;

use super::{
    Actor,
    attend::{Attended, Live, attend},
    body::Wishes,
    mailbox::Answer,
};
use crate::{
    host::Wait,
    invoke::{
        outcome::{self, Ending, Failure},
        retry,
    },
    journal::Journal,
};

impl Actor {
    /// Tells the callers how the work at hand ended, and leaves the worker as that ending asks.
    pub(super) async fn conclude(&mut self, ending: Ending) -> ControlFlow<()> {
        if let Some((version, details)) = self.update_failure(&ending) {
            return self.give_up_update(version, details).await;
        }
        match ending {
            Ending::Completed(result) => {
                self.desk.memory_wanted = 0;
                if let Some((journal, invoked_at)) = self.invocation() {
                    self.seat.context.telemetry.ended(&journal, invoked_at);
                }
                if let Some(body) = &mut self.body {
                    body.has_ended = true;
                }
                if let Some(ticket) = self.desk.current.take() {
                    ticket.answer(&Ok(Answer {
                        result,
                        replayed: false,
                    }));
                }
            }
            Ending::Failed(failure) => return self.failed(failure).await,
            Ending::Exited => return self.exited().await,
            Ending::Suspended(wait) => return self.suspended(wait).await,
            // Loaded again at once; its callers see nothing of it.
            Ending::Jumped => self.drop_body(),
            Ending::OutOfMemory { bytes } => return self.short_of_memory(bytes).await,
            Ending::Refused(error) => {
                // Entries that were not committed are dropped with the body.
                self.drop_body();
                self.desk.give_up(&error);
            }
            Ending::Lost(error) => return self.stop(&error),
        }
        if self.desk.halt.is_some() {
            return self.halt().await;
        }
        ControlFlow::Continue(())
    }

    /// Unloads the worker, which is loaded again as soon as there is room for that much memory.
    async fn short_of_memory(&mut self, bytes: u64) -> ControlFlow<()> {
        self.seat.context.metrics.workers_short_of_memory.increment();
        // A quarter more, so that a guest which grows in small steps is not loaded anew at each.
        self.desk.memory_wanted = bytes.saturating_add(bytes / 4);
        // What it has done so far need not be done again.
        if let Some(body) = &mut self.body
            && let Err(error) = body.commit().await
        {
            return self.stop(&outcome::lost(&error));
        }
        self.drop_body();
        if self.desk.halt.is_some() {
            return self.halt().await;
        }
        ControlFlow::Continue(())
    }

    /// Where the invocation at hand is recorded. Whoever commits its end exports its spans: nobody else ever will.
    fn invocation(&self) -> Option<(Journal, OplogIndex)> {
        let body = self.body.as_ref()?;
        Some((body.journal.clone(), body.invoked_at))
    }

    pub(super) async fn failed(&mut self, failure: Failure) -> ControlFlow<()> {
        self.seat.context.metrics.invocations_failed.increment();
        tracing::debug!(worker = %self.seat.id, message = failure.message, "the guest failed");
        let retry_from = match failure.retry_from {
            OplogIndex::NONE => self
                .body
                .as_ref()
                .map_or(OplogIndex::FIRST, |body| body.invoked_at),
            retry_from => retry_from,
        };
        let entry = ErrorEntry {
            kind: failure.kind.into(),
            message: failure.message,
            retry_from: retry_from.0,
            stderr: failure.stderr,
        };
        let invocation = self.invocation();
        let record = match self.leave(Entry::Error(entry.clone())).await {
            Ok(record) => record,
            Err(error) => return self.stop(&error),
        };
        if record.status() == WorkerStatus::Retrying {
            return self.pause_before_retry(&record).await;
        }
        if let Some((journal, invoked_at)) = invocation {
            self.seat.context.telemetry.ended(&journal, invoked_at);
        }
        if let Some(ticket) = self.desk.current.take() {
            ticket.answer(&Err(outcome::failed(&entry)));
        }
        self.desk.give_up(&outcome::failed_before(Some(&entry)));
        self.obey_ended().await
    }

    pub(super) async fn exited(&mut self) -> ControlFlow<()> {
        self.arrive();
        if let Err(error) = self.leave(Entry::Exited(EmptyEntry {})).await {
            return self.stop(&error);
        }
        if let Some(ticket) = self.desk.current.take() {
            ticket.answer(&Err(outcome::exited()));
        }
        self.desk.give_up(&outcome::exited_before());
        self.obey_ended().await
    }

    /// The guest has come to the end of what is recorded, without a new step of its own.
    fn arrive(&self) {
        if let Some(body) = &self.body {
            body.journal.arrive();
        }
    }

    /// Unloads the worker; its callers go on waiting.
    pub(super) async fn suspended(&mut self, wait: Wait) -> ControlFlow<()> {
        self.arrive();
        let entry = SuspendEntry {
            until_ns: wait.until_ns,
            promises: wait.promises,
        };
        let record = match self.leave(Entry::Suspend(entry)).await {
            Ok(record) => record,
            Err(error) => return self.stop(&error),
        };
        // What it waits for may have come while it still ran.
        self.desk.is_wanted = record.wake_at_ns == Some(0);
        self.desk.refuse_files_while_suspended();
        self.desk.loaded(&Ok(()));
        if self.desk.halt.is_some() {
            return self.halt().await;
        }
        ControlFlow::Continue(())
    }

    /// Commits a last entry and drops the body.
    pub(super) async fn leave(&mut self, entry: Entry) -> Result<WorkerRecord, Error> {
        self.leave_with(vec![entry]).await
    }

    /// Commits the last entries and drops the body; without one they are just committed.
    pub(super) async fn leave_with(&mut self, entries: Vec<Entry>) -> Result<WorkerRecord, Error> {
        let Some(body) = &mut self.body else {
            let record = self.seat.existing()?;
            return self.seat.append(&record, entries).await;
        };
        for entry in entries {
            body.journal.append(entry);
        }
        body.commit().await.map_err(|error| outcome::lost(&error))?;
        self.drop_body();
        self.seat.existing()
    }

    /// The record with everything that was appended so far.
    pub(super) async fn settled(&mut self) -> Result<WorkerRecord, Error> {
        if let Some(body) = &mut self.body
            && !body.is_unborn()
        {
            body.commit().await.map_err(|error| outcome::lost(&error))?;
        }
        self.seat.existing()
    }

    /// Waits as the retry policy says. Messages are answered meanwhile, and can end the wait.
    pub(super) async fn pause_before_retry(&mut self, record: &WorkerRecord) -> ControlFlow<()> {
        let policy = record.retry_policy.unwrap_or(retry::DEFAULT);
        let delay = retry::delay(&policy, record.retry_count, rand::rng().random());
        if let Err(error) = Box::pin(self.open(Wishes::default())).await {
            self.desk.give_up(&error);
            return ControlFlow::Continue(());
        }
        let Some(body) = &self.body else {
            return ControlFlow::Continue(());
        };
        let (journal, component, flag) = (
            body.journal.clone(),
            body.component.clone(),
            body.is_committing.clone(),
        );
        let live = Live::of(&self.seat, &journal, &component, body.is_ephemeral);
        let pause = tokio::time::sleep(delay);
        match attend(&mut self.mailbox, &mut self.desk, &live, &flag, pause).await {
            Attended::Done(()) => ControlFlow::Continue(()),
            Attended::Halted => self.halt().await,
        }
    }
}
