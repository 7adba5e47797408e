use std::sync::Arc;

use kiln_proto::{
    Error,
    v1::{CreateEntry, oplog_entry::Entry},
};

use super::{
    attend::Live,
    desk::{Desk, Job, Ticket},
    mailbox::{Answer, Invoke, Reply},
};
use crate::invoke::{check, outcome};

impl Desk {
    /// Accepts an invocation, attaches its caller to the one with the same key, or refuses it. `birth` is appended
    /// before, for a worker that does not exist yet.
    ///
    /// Returns the reply of a caller who only waits until the invocation is durably queued: a commit is due.
    pub(super) fn accept(
        &mut self,
        live: &Live<'_>,
        birth: &mut Option<CreateEntry>,
        invoke: Invoke,
    ) -> Option<Reply<Answer>> {
        if let Some(ticket) = self.find(&invoke.key) {
            return ticket.attach(invoke);
        }
        let queue_len_max = live.seat.context.limits.queue_len_max;
        if self.queue.len() >= queue_len_max {
            let refusal = Error::limit_exceeded(format!(
                "{queue_len_max} invocations wait at worker {}",
                live.seat.id
            ));
            let _ = invoke.reply.send(Err(
                refusal.with_hint("call again later, or spread the work over more workers")
            ));
            return None;
        }
        let input = match check(live.component, &invoke.request) {
            Ok(input) => Arc::new(input),
            Err(error) => {
                let _ = invoke.reply.send(Err(error));
                return None;
            }
        };
        if let Some(create) = birth.take() {
            live.seat.context.metrics.workers_created.increment();
            live.journal.append(Entry::Create(create));
        }
        live.journal.append(input.pending_entry(&invoke.key));
        let mut ticket = Ticket {
            key: invoke.key,
            job: Job::Call(Some(input)),
            recorded_at: 0,
            waiters: Vec::new(),
        };
        let mut waits_for_commit = None;
        if invoke.request.no_wait {
            waits_for_commit = Some(invoke.reply);
        } else {
            ticket.waiters.push(invoke.reply);
        }
        self.queue.push_back(ticket);
        waits_for_commit
    }

    /// Accepts an invocation while the guest runs.
    pub(super) fn accept_meanwhile(&mut self, live: &Live<'_>, invoke: Invoke) {
        if !invoke.key_is_fresh && self.find(&invoke.key).is_none() {
            match live.seat.finished(&invoke.key).transpose() {
                None => {}
                Some(outcome) => {
                    live.seat.context.metrics.invocations_deduplicated.increment();
                    let _ = invoke.reply.send(outcome.and_then(|recorded| recorded));
                    return;
                }
            }
        }
        let Some(reply) = self.accept(live, &mut None, invoke) else {
            return;
        };
        let journal = live.journal.clone();
        // Not awaited here: the guest's own commit may be under way and must go on.
        tokio::spawn(async move {
            let committed = journal.commit().await;
            let _ = reply.send(
                committed
                    .map(|_| Answer::default())
                    .map_err(|error| outcome::lost(&error)),
            );
        });
    }
}

impl Ticket {
    fn attach(&mut self, invoke: Invoke) -> Option<Reply<Answer>> {
        if !invoke.request.no_wait {
            self.waiters.push(invoke.reply);
            return None;
        }
        if self.recorded_at == 0 {
            return Some(invoke.reply);
        }
        let _ = invoke.reply.send(Ok(Answer::default()));
        None
    }
}
