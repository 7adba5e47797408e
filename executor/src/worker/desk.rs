use std::{collections::VecDeque, sync::Arc};

use kiln_proto::{
    Error,
    ids::{ComponentVersion, IdempotencyKey},
    v1::WorkerRecord,
};

use super::{
    body::Body,
    mailbox::{Answer, Files, Message, Reply},
    seat::Seat,
};
use crate::invoke::{Input, outcome::Recorded};

/// The invocations that a worker has accepted, and who waits for them.
///
/// Invariant: no key is here twice, and none that is here has a result.
#[derive(Default)]
pub(crate) struct Desk {
    /// Begun and not ended.
    pub(crate) current: Option<Ticket>,
    /// Accepted and not begun, in order.
    pub(crate) queue: VecDeque<Ticket>,
    /// The worker should go on; false for one that was interrupted, until somebody asks for it.
    pub(crate) is_wanted: bool,
    /// What to do as soon as the work at hand can be stopped.
    pub(crate) halt: Option<Halt>,
    /// Linear memory that the worker asked for when there was no room for it.
    pub(crate) memory_wanted: u64,
    /// Who waits to look into the worker's folder.
    pub(crate) files: Vec<Files>,
    /// What can be handled only when nothing runs.
    pub(crate) deferred: VecDeque<Message>,
    /// Who waits until the worker is loaded.
    pub(crate) until_loaded: Vec<Reply<()>>,
}

/// One accepted invocation.
pub(crate) struct Ticket {
    pub(crate) key: IdempotencyKey,
    pub(crate) job: Job,
    /// Index of the committed PendingWorkerInvocation entry, 0 if it may not be committed yet.
    pub(crate) recorded_at: u64,
    pub(crate) waiters: Vec<Reply<Answer>>,
}

/// What is done when a ticket's turn comes.
#[derive(Clone)]
pub(crate) enum Job {
    /// A call. The input is absent for one that was read from the oplog; its arguments are at `recorded_at`.
    Call(Option<Arc<Input>>),
    /// A snapshot-based update.
    Update(ComponentVersion),
}

/// Why the work at hand is stopped.
pub(crate) enum Halt {
    /// Commit what was done, drop the instance, and handle what was deferred.
    Pause,
    /// Drop the instance and replay, as a crash would.
    Crash(Vec<Reply<()>>),
    /// Stop until somebody asks for the worker again.
    Interrupt(Vec<Reply<()>>),
    /// Forget the worker.
    Delete(Vec<Reply<()>>),
}

impl Halt {
    /// The stronger of two; who asked for the weaker one is content with it too.
    fn and(self, other: Self) -> Self {
        let (strong, weak) = if self.strength() >= other.strength() {
            (self, other)
        } else {
            (other, self)
        };
        let mut all = weak.replies();
        match strong {
            Self::Pause => Self::Pause,
            Self::Crash(replies) => Self::Crash(join(&mut all, replies)),
            Self::Interrupt(replies) => Self::Interrupt(join(&mut all, replies)),
            Self::Delete(replies) => Self::Delete(join(&mut all, replies)),
        }
    }

    fn strength(&self) -> u8 {
        match self {
            Self::Pause => 0,
            Self::Crash(_) => 1,
            Self::Interrupt(_) => 2,
            Self::Delete(_) => 3,
        }
    }

    pub(super) fn replies(self) -> Vec<Reply<()>> {
        match self {
            Self::Pause => Vec::new(),
            Self::Crash(replies) | Self::Interrupt(replies) | Self::Delete(replies) => replies,
        }
    }
}

fn join(all: &mut Vec<Reply<()>>, mut more: Vec<Reply<()>>) -> Vec<Reply<()>> {
    all.append(&mut more);
    std::mem::take(all)
}

impl Desk {
    /// The accepted invocation with this key.
    pub(crate) fn find(&mut self, key: &IdempotencyKey) -> Option<&mut Ticket> {
        let current = self.current.as_mut().filter(|ticket| ticket.key == *key);
        current.or_else(|| self.queue.iter_mut().find(|ticket| ticket.key == *key))
    }

    /// Adds a reason to stop.
    pub(crate) fn halt(&mut self, halt: Halt) {
        self.halt = Some(match self.halt.take() {
            Some(present) => present.and(halt),
            None => halt,
        });
    }

    /// Has a message handled as soon as the work at hand can be stopped.
    pub(crate) fn defer(&mut self, message: Message) {
        self.deferred.push_back(message);
        self.halt(Halt::Pause);
    }

    /// Takes the next invocation to begin.
    pub(crate) fn begin(&mut self) -> Option<&mut Ticket> {
        if self.current.is_none() {
            self.current = self.queue.pop_front();
        }
        self.current.as_mut()
    }

    /// Tells everybody who waits, and forgets what was accepted: what is recorded is found again in the oplog.
    pub(crate) fn give_up(&mut self, error: &Error) {
        for ticket in self.current.take().into_iter().chain(self.queue.drain(..)) {
            ticket.answer(&Err(error.clone()));
        }
        self.is_wanted = false;
        self.loaded(&Err(error.clone()));
        self.refuse_files(error);
    }

    /// Tells those who waited for the worker to be loaded.
    pub(crate) fn loaded(&mut self, outcome: &Result<(), Error>) {
        for reply in self.until_loaded.drain(..) {
            // Whoever has gone away needs no answer.
            let _ = reply.send(outcome.clone());
        }
    }

    /// Brings the desk in line with the oplog after it was opened: what is recorded comes first, in its order; what was
    /// accepted and got lost with an uncommitted tail is accepted again.
    pub(crate) fn reconcile(
        &mut self,
        seat: &Seat,
        record: Option<&WorkerRecord>,
        body: &mut Body,
    ) -> Result<(), Error> {
        let mut before: Vec<Ticket> = self
            .current
            .take()
            .into_iter()
            .chain(self.queue.drain(..))
            // Nobody waits for an update; one that counts is found in the record.
            .filter(|ticket| !matches!(ticket.job, Job::Update(_)))
            .collect();
        let mut claim = |key: &str, recorded_at| -> Result<Ticket, Error> {
            if let Some(at) = before.iter().position(|ticket| ticket.key.as_str() == key) {
                return Ok(Ticket {
                    recorded_at,
                    ..before.remove(at)
                });
            }
            Ok(Ticket {
                key: IdempotencyKey::new(key)?,
                job: Job::Call(None),
                recorded_at,
                waiters: Vec::new(),
            })
        };
        if let Some(record) = record {
            if let Some(key) = &record.current_idempotency_key {
                self.current = Some(claim(key, record.current_invocation_index)?);
            }
            for pending in &record.pending_invocations {
                let at = pending.oplog_index;
                self.queue.push_back(match pending.update_version {
                    Some(version) => Ticket::of_update(version.into(), at),
                    None => claim(&pending.idempotency_key, at)?,
                });
            }
        }
        for mut ticket in before {
            ticket.recorded_at = 0;
            match (seat.finished(&ticket.key)?, &ticket.job) {
                (Some(outcome), _) => ticket.answer(&outcome),
                (None, Job::Call(Some(input))) => {
                    body.append_pending(input, &ticket.key);
                    self.queue.push_back(ticket);
                }
                (None, _) => ticket.answer(&Err(Error::unavailable("the invocation is no longer queued"))),
            }
        }
        Ok(())
    }
}

impl Ticket {
    /// An update that waits for its turn.
    pub(crate) fn of_update(version: ComponentVersion, recorded_at: u64) -> Self {
        Self {
            // Nobody asks for it by its key.
            key: IdempotencyKey::random(),
            job: Job::Update(version),
            recorded_at,
            waiters: Vec::new(),
        }
    }

    /// Tells all who wait. The first of them asked for the run, the others find it done.
    pub(crate) fn answer(self, outcome: &Recorded) {
        for (at, waiter) in self.waiters.into_iter().enumerate() {
            let mut outcome = outcome.clone();
            if let Ok(answer) = &mut outcome {
                answer.replayed |= at > 0;
            }
            // Whoever has gone away needs no answer.
            let _ = waiter.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn ticket(key: &str) -> (Ticket, oneshot::Receiver<Recorded>) {
        let (reply, answer) = oneshot::channel();
        let key = IdempotencyKey::new(key).expect("valid");
        (
            Ticket {
                key,
                job: Job::Call(None),
                recorded_at: 0,
                waiters: vec![reply],
            },
            answer,
        )
    }

    #[test]
    fn a_key_is_found_while_it_runs_and_while_it_waits() {
        let mut desk = Desk::default();
        desk.queue.extend([ticket("a").0, ticket("b").0]);
        assert_eq!(desk.begin().expect("one waits").key.as_str(), "a");
        for key in ["a", "b"] {
            assert!(desk.find(&IdempotencyKey::new(key).expect("valid")).is_some());
        }
        assert!(desk.find(&IdempotencyKey::new("c").expect("valid")).is_none());
    }

    #[test]
    fn the_first_caller_has_the_run_and_the_others_its_result() {
        let (mut shared, mut first) = ticket("a");
        let (reply, mut second) = oneshot::channel();
        shared.waiters.push(reply);
        shared.answer(&Ok(Answer::default()));
        assert!(!first.try_recv().expect("answered").expect("well").replayed);
        assert!(second.try_recv().expect("answered").expect("well").replayed);
    }

    #[test]
    fn the_strongest_reason_to_stop_wins_and_answers_for_all() {
        let mut desk = Desk::default();
        desk.halt(Halt::Delete(vec![oneshot::channel().0]));
        desk.halt(Halt::Crash(vec![oneshot::channel().0]));
        desk.halt(Halt::Interrupt(vec![oneshot::channel().0]));
        assert!(matches!(desk.halt, Some(Halt::Delete(replies)) if replies.len() == 3));
    }
}
