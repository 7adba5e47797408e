//! What callers and operators ask of a worker while nothing runs.

use std::ops::ControlFlow;

use kiln_proto::{
    Error,
    convert::json::status_name,
    v1::{EmptyEntry, WorkerRecord, WorkerStatus, oplog_entry::Entry},
};

use super::{
    Actor,
    attend::{Live, existing},
    body::Wishes,
    desk::Halt,
    mailbox::{Answer, Create, Invoke, Reply},
};
use crate::invoke::outcome;

impl Actor {
    /// Accepts an invocation while nothing runs.
    pub(super) async fn invoke(&mut self, invoke: Invoke) -> ControlFlow<()> {
        if !invoke.key_is_fresh {
            match self.seat.finished(&invoke.key) {
                Ok(None) => {}
                Ok(Some(outcome)) => {
                    self.seat.context.metrics.invocations_deduplicated.increment();
                    let _ = invoke.reply.send(outcome);
                    return ControlFlow::Continue(());
                }
                Err(error) => {
                    let _ = invoke.reply.send(Err(error));
                    return ControlFlow::Continue(());
                }
            }
        }
        if let Err(error) = self.open(Wishes::default()).await {
            let _ = invoke.reply.send(Err(error));
            return ControlFlow::Continue(());
        }
        let Some(body) = &mut self.body else {
            return ControlFlow::Continue(());
        };
        let body = &mut **body;
        let is_attached = self.desk.find(&invoke.key).is_some();
        let live = Live::of(&self.seat, &body.journal, &body.component, body.is_ephemeral);
        let queued_before = self.desk.queue.len();
        let waits = self.desk.accept(&live, &mut body.birth, invoke);
        if self.desk.queue.len() > queued_before {
            body.rouse();
        }
        if let Some(reply) = waits {
            if let Err(error) = body.commit().await {
                let _ = reply.send(Err(outcome::lost(&error)));
                return self.stop(&outcome::lost(&error));
            }
            let _ = reply.send(Ok(Answer::default()));
        }
        // One more who waits for what a suspended worker waits for brings that no nearer; one that was refused wakes nobody.
        if !(is_attached && self.is_suspended()) {
            self.desk.is_wanted = self.desk.current.is_some() || !self.desk.queue.is_empty();
        }
        ControlFlow::Continue(())
    }

    pub(super) async fn create(&mut self, create: Create) -> ControlFlow<()> {
        let Create { request, reply } = create;
        match self.seat.record() {
            Ok(None) => {}
            Ok(Some(record)) => {
                let _ = reply.send(existing(&self.seat, record, request.ignore_existing));
                return ControlFlow::Continue(());
            }
            Err(error) => {
                let _ = reply.send(Err(error));
                return ControlFlow::Continue(());
            }
        }
        let wishes = Wishes {
            args: request.args.clone(),
            env: request.env.clone(),
            config: request.config.clone(),
            version: request.version.map(Into::into),
            parent: request.parent.clone(),
        };
        // An unborn body may be here from a call that was refused.
        self.drop_body();
        if let Err(error) = self.open(wishes).await {
            let _ = reply.send(Err(error));
            return ControlFlow::Continue(());
        }
        let Some(body) = &mut self.body else {
            return ControlFlow::Continue(());
        };
        body.be_born(&self.seat);
        if let Err(error) = body.commit().await {
            let _ = reply.send(Err(outcome::lost(&error)));
            return self.stop(&outcome::lost(&error));
        }
        let _ = reply.send(self.seat.existing());
        // Workers may be created by the million and called later: an actor without an instance is only a cost.
        if self.mailbox.is_empty() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Interrupts a worker that does not run here and now: one that waits to be retried or for an event.
    pub(super) async fn interrupt_idle(
        &mut self,
        recover_immediately: bool,
        reply: Reply<()>,
    ) -> ControlFlow<()> {
        let status = match self.seat.existing() {
            Ok(record) => record.status(),
            Err(error) => {
                let _ = reply.send(Err(error));
                return ControlFlow::Continue(());
            }
        };
        if recover_immediately {
            self.drop_body();
            self.desk.is_wanted = is_unfinished(status);
            let _ = reply.send(Ok(()));
            return ControlFlow::Continue(());
        }
        if !is_unfinished(status) {
            let _ = reply.send(Ok(()));
            return ControlFlow::Continue(());
        }
        if let Err(error) = self.open(Wishes::default()).await {
            let _ = reply.send(Err(error));
            return ControlFlow::Continue(());
        }
        self.desk.halt(Halt::Interrupt(vec![reply]));
        self.halt().await
    }

    /// Lets the worker go on. One that was interrupted is recorded to do so, so that a new owner knows of it too.
    pub(super) async fn resume(&mut self, force: bool, reply: Reply<()>) -> ControlFlow<()> {
        let status = match self.settled().await {
            Ok(record) => record.status(),
            Err(error) => {
                let _ = reply.send(Err(error));
                return ControlFlow::Continue(());
            }
        };
        match status {
            WorkerStatus::Failed | WorkerStatus::Exited => {
                let _ = reply.send(Err(cannot_resume(status, force)));
                return ControlFlow::Continue(());
            }
            WorkerStatus::WorkerInterrupted => {
                if let Err(error) = self.leave(Entry::Restart(EmptyEntry {})).await {
                    let _ = reply.send(Err(error.clone()));
                    return self.stop(&error);
                }
            }
            _ => {}
        }
        self.desk.is_wanted = true;
        let _ = reply.send(Ok(()));
        ControlFlow::Continue(())
    }

    pub(super) fn recover(&mut self, reply: Reply<()>) {
        match self.seat.record() {
            // One that was interrupted stays so until somebody asks for it.
            Ok(Some(record)) if is_recoverable(record.status()) => {
                self.desk.is_wanted = true;
                self.desk.until_loaded.push(reply);
            }
            Ok(_) => {
                let _ = reply.send(Ok(()));
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    fn is_suspended(&self) -> bool {
        let record = self.seat.record();
        record.is_ok_and(|record| record.is_some_and(|record| record.status() == WorkerStatus::Suspended))
    }

    /// What a suspended worker waited for may have come.
    pub(super) fn wake(&mut self) {
        if let Ok(Some(record)) = self.seat.record()
            && is_unfinished(record.status())
        {
            self.desk.is_wanted = true;
        }
    }
}

fn is_unfinished(status: WorkerStatus) -> bool {
    matches!(
        status,
        WorkerStatus::Running | WorkerStatus::Suspended | WorkerStatus::Retrying
    )
}

/// True for a worker that goes on by itself: it has begun something, or something waits.
pub(super) fn has_work(record: &WorkerRecord) -> bool {
    match record.status() {
        WorkerStatus::Idle => !record.pending_invocations.is_empty() || !record.pending_updates.is_empty(),
        status => is_unfinished(status),
    }
}

fn cannot_resume(status: WorkerStatus, force: bool) -> Error {
    let hint = if force {
        "nothing can bring it back but a revert"
    } else {
        "revert or delete the worker"
    };
    Error::conflict(format!(
        "a worker that is {} cannot be resumed",
        status_name(status)
    ))
    .with_hint(hint)
}

fn is_recoverable(status: WorkerStatus) -> bool {
    is_unfinished(status) || status == WorkerStatus::Idle
}
