//! Stopping a worker's work: crash, interrupt, deletion, and the end of the actor.

use std::ops::ControlFlow;

use kiln_proto::{
    Error,
    v1::{EmptyEntry, oplog_entry::Entry},
};

use super::{Actor, desk::Halt, mailbox::Reply};
use crate::invoke::outcome;

impl Actor {
    /// Does what [`Desk::halt`] says. The work at hand has ended or was dropped.
    pub(super) async fn halt(&mut self) -> ControlFlow<()> {
        match self.desk.halt.take() {
            None => ControlFlow::Continue(()),
            Some(Halt::Pause) => {
                if let Some(body) = &mut self.body
                    && let Err(error) = body.commit().await
                {
                    return self.stop(&outcome::lost(&error));
                }
                self.drop_body();
                ControlFlow::Continue(())
            }
            Some(Halt::Crash(replies)) => {
                self.drop_body();
                answer_all(replies, &Ok(()));
                ControlFlow::Continue(())
            }
            Some(Halt::Interrupt(replies)) => self.interrupt(replies).await,
            Some(Halt::Delete(replies)) => self.delete(replies).await,
        }
    }

    pub(super) async fn interrupt(&mut self, replies: Vec<Reply<()>>) -> ControlFlow<()> {
        let is_idle = self.desk.current.is_none() && self.desk.queue.is_empty();
        if !is_idle {
            if let Err(error) = self.leave(Entry::Interrupted(EmptyEntry {})).await {
                answer_all(replies, &Err(error.clone()));
                return self.stop(&error);
            }
            self.desk.give_up(&outcome::interrupted());
        }
        answer_all(replies, &Ok(()));
        ControlFlow::Continue(())
    }

    pub(super) async fn delete(&mut self, replies: Vec<Reply<()>>) -> ControlFlow<()> {
        self.drop_body();
        let deleted = self
            .seat
            .shard
            .delete_worker(self.seat.epoch, &self.seat.id)
            .await;
        let deleted = deleted.map_err(|error| match error {
            kiln_store::Error::NotFound(_) => {
                Error::not_found(format!("worker {} does not exist", self.seat.id))
            }
            other => other.into(),
        });
        match &deleted {
            Ok(()) => self.desk.give_up(&outcome::deleted()),
            Err(error) => self.desk.give_up(error),
        }
        answer_all(replies, &deleted);
        ControlFlow::Break(())
    }

    /// After the worker has come to its end: whoever wanted it interrupted or crashed has nothing to wait for.
    pub(super) async fn obey_ended(&mut self) -> ControlFlow<()> {
        match self.desk.halt.take() {
            Some(Halt::Crash(replies) | Halt::Interrupt(replies)) => answer_all(replies, &Ok(())),
            Some(Halt::Delete(replies)) => return self.delete(replies).await,
            // What was deferred is handled next.
            Some(Halt::Pause) | None => {}
        }
        ControlFlow::Continue(())
    }

    /// Ends the actor: somebody else may own the worker now, or what is stored is in doubt.
    pub(super) fn stop(&mut self, error: &Error) -> ControlFlow<()> {
        tracing::debug!(worker = %self.seat.id, %error, "the actor stops");
        self.drop_body();
        self.desk.give_up(error);
        if let Some(halt) = self.desk.halt.take() {
            answer_all(halt.replies(), &Err(error.clone()));
        }
        ControlFlow::Break(())
    }

    pub(super) fn drop_body(&mut self) {
        self.body = None;
        self.seat.activity.set_loaded(false);
    }
}

fn answer_all(replies: Vec<Reply<()>>, outcome: &Result<(), Error>) {
    for reply in replies {
        // Whoever has gone away needs no answer.
        let _ = reply.send(outcome.clone());
    }
}
