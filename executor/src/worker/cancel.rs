//! Cancelling an invocation that waits for its turn.

use std::ops::ControlFlow;

use kiln_proto::{
    Error,
    ids::IdempotencyKey,
    v1::{KeyEntry, oplog_entry::Entry},
};

use super::{
    Actor,
    attend::Live,
    desk::Desk,
    mailbox::{Cancel, Reply},
};
use crate::invoke::outcome;

impl Desk {
    /// Cancels an invocation while the guest runs.
    pub(super) fn cancel_meanwhile(&mut self, live: &Live<'_>, cancel: Cancel) {
        let Cancel { key, reply } = cancel;
        if self.current.as_ref().is_some_and(|current| current.key == key) {
            let _ = reply.send(Ok(false));
            return;
        }
        if self.withdraw(&key) {
            live.journal.append(entry(&key));
            live.commit_and_tell_that(true, reply);
            return;
        }
        answer_for_ended(&live.seat.finished(&key), reply);
    }

    /// Takes an invocation out of the queue and tells those who wait for it.
    fn withdraw(&mut self, key: &IdempotencyKey) -> bool {
        let Some(at) = self.queue.iter().position(|ticket| ticket.key == *key) else {
            return false;
        };
        if let Some(ticket) = self.queue.remove(at) {
            ticket.answer(&Err(outcome::cancelled()));
        }
        true
    }
}

impl Actor {
    /// Cancels an invocation while nothing runs: one that waits behind an interrupted one.
    pub(super) async fn cancel(&mut self, cancel: Cancel) -> ControlFlow<()> {
        let Cancel { key, reply } = cancel;
        let record = match self.settled().await {
            Ok(record) => record,
            Err(error) => {
                let _ = reply.send(Err(error));
                return ControlFlow::Continue(());
            }
        };
        if record.current_idempotency_key.as_deref() == Some(key.as_str()) {
            let _ = reply.send(Ok(false));
            return ControlFlow::Continue(());
        }
        let is_queued = record
            .pending_invocations
            .iter()
            .any(|pending| pending.idempotency_key == key.as_str());
        if !is_queued {
            answer_for_ended(&self.seat.finished(&key), reply);
            return ControlFlow::Continue(());
        }
        self.desk.withdraw(&key);
        let outcome = self.leave(entry(&key)).await;
        let flow = match &outcome {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => self.stop(error),
        };
        let _ = reply.send(outcome.map(|_| true));
        flow
    }
}

fn entry(key: &IdempotencyKey) -> Entry {
    Entry::CancelInvocation(KeyEntry {
        idempotency_key: key.as_str().to_owned(),
    })
}

fn answer_for_ended(finished: &Result<Option<outcome::Recorded>, Error>, reply: Reply<bool>) {
    let _ = reply.send(match finished {
        Ok(Some(_)) => Ok(false),
        Ok(None) => Err(Error::not_found("no invocation has this idempotency key")),
        Err(error) => Err(error.clone()),
    });
}
