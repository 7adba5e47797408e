use std::{
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
};

use kiln_proto::{
    Error,
    convert::json::status_name,
    ids::OplogIndex,
    v1::{EmptyEntry, ErrorEntry, WorkerRecord, WorkerStatus, oplog_entry::Entry},
};
use rand::Rng;
use tokio::sync::mpsc;

use super::{
    body::{Body, Wishes},
    desk::{Desk, Halt, Ticket},
    mailbox::{Answer, Create, Invoke, Message, Reply},
    seat::Seat,
};
use crate::{
    invoke::{
        outcome::{self, Ending, Failure},
        restore, retry,
    },
    journal::Journal,
};

/// Runs one worker: accepts invocations in order and runs them one at a time.
///
/// It answers messages also while the guest runs. It ends when it is evicted, when the worker is deleted, or when its
/// oplog cannot be written; the next message starts another one from what is stored.
pub(crate) struct Actor {
    seat: Seat,
    mailbox: mpsc::Receiver<Message>,
    desk: Desk,
    body: Option<Box<Body>>,
}

/// How a stretch of work came to its end.
enum Attended<T> {
    Done(T),
    /// It was dropped, because of [`Desk::halt`].
    Halted,
}

impl Actor {
    pub(crate) fn new(seat: Seat, mailbox: mpsc::Receiver<Message>) -> Self {
        Self {
            seat,
            mailbox,
            desk: Desk::default(),
            body: None,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let flow = if self.desk.is_wanted {
                self.seat.activity.begin();
                self.go_on().await
            } else {
                self.seat.activity.end();
                match self.mailbox.recv().await {
                    Some(message) => self.handle(message).await,
                    None => ControlFlow::Break(()),
                }
            };
            if flow.is_break() {
                return;
            }
        }
    }

    /// Handles a message while nothing runs.
    async fn handle(&mut self, message: Message) -> ControlFlow<()> {
        match message {
            Message::Invoke(invoke) => return self.invoke(invoke).await,
            Message::Create(create) => return self.create(create).await,
            Message::Interrupt {
                recover_immediately,
                reply,
            } => {
                return self.interrupt_idle(recover_immediately, reply).await;
            }
            Message::Resume { force, reply } => {
                let _ = reply.send(self.resume(force));
            }
            Message::Delete { reply } => {
                self.desk.halt(Halt::Delete(vec![reply]));
                return self.halt().await;
            }
            Message::Recover { reply } => self.recover(reply),
            Message::Evict => {
                self.seat.context.metrics.workers_evicted.increment();
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Accepts an invocation while nothing runs.
    async fn invoke(&mut self, invoke: Invoke) -> ControlFlow<()> {
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
        let live = Live {
            seat: &self.seat,
            journal: &body.journal,
            component: &body.component,
        };
        if let Some(reply) = self.desk.accept(&live, &mut body.birth, invoke) {
            if let Err(error) = body.commit().await {
                let _ = reply.send(Err(outcome::lost(&error)));
                return self.stop(&outcome::lost(&error));
            }
            let _ = reply.send(Ok(Answer::default()));
        }
        // An invocation that was refused wakes nobody.
        self.desk.is_wanted = self.desk.current.is_some() || !self.desk.queue.is_empty();
        ControlFlow::Continue(())
    }

    async fn create(&mut self, create: Create) -> ControlFlow<()> {
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
        ControlFlow::Continue(())
    }

    /// Interrupts a worker that does not run here and now: one that waits to be retried or for an event.
    async fn interrupt_idle(&mut self, recover_immediately: bool, reply: Reply<()>) -> ControlFlow<()> {
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

    fn resume(&mut self, force: bool) -> Result<(), Error> {
        let status = self.seat.existing()?.status();
        match status {
            WorkerStatus::Failed | WorkerStatus::Exited => {
                let hint = if force {
                    "nothing can bring it back but a revert"
                } else {
                    "revert or delete the worker"
                };
                return Err(Error::conflict(format!(
                    "a worker that is {} cannot be resumed",
                    status_name(status)
                ))
                .with_hint(hint));
            }
            _ => self.desk.is_wanted = true,
        }
        Ok(())
    }

    fn recover(&mut self, reply: Reply<()>) {
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

    /// Makes the body from what is stored, unless it is there.
    async fn open(&mut self, wishes: Wishes) -> Result<(), Error> {
        if self.body.is_some() {
            return Ok(());
        }
        let record = self.seat.record()?;
        let mut body = match &record {
            Some(record) => {
                refuse_ended(record)?;
                Body::of_record(&self.seat, record).await?
            }
            None => Body::unborn(&self.seat, wishes).await?,
        };
        self.desk.reconcile(&self.seat, record.as_ref(), &mut body)?;
        self.body = Some(Box::new(body));
        Ok(())
    }

    /// One step: load the worker, or run the next invocation.
    async fn go_on(&mut self) -> ControlFlow<()> {
        if self.body.is_none()
            && let Err(error) = Box::pin(self.open(Wishes::default())).await
        {
            self.desk.give_up(&error);
            return ControlFlow::Continue(());
        }
        let Some(body) = &mut self.body else {
            return ControlFlow::Continue(());
        };
        if body.resident.is_some() {
            return self.run_next().await;
        }
        if body.is_unborn() {
            // Nothing was accepted: a resumed or recovered worker does not exist any more.
            self.desk.give_up(&Error::not_found(format!(
                "worker {} does not exist",
                self.seat.id
            )));
            return ControlFlow::Continue(());
        }
        let journal = body.journal.clone();
        let component = body.component.clone();
        let live = Live {
            seat: &self.seat,
            journal: &journal,
            component: &component,
        };
        let flag = body.is_committing.clone();
        let work = Box::pin(body.load(&self.seat));
        match attend(&mut self.mailbox, &mut self.desk, &live, &flag, work).await {
            Attended::Halted => self.halt().await,
            Attended::Done(Ok(unfinished)) => {
                self.desk.loaded(&Ok(()));
                match unfinished {
                    Some(ending) => self.conclude(ending).await,
                    None => ControlFlow::Continue(()),
                }
            }
            Attended::Done(Err(ending)) => self.conclude(ending).await,
        }
    }

    async fn run_next(&mut self) -> ControlFlow<()> {
        let Some(body) = &mut self.body else {
            return ControlFlow::Continue(());
        };
        let Some(ticket) = self.desk.begin() else {
            self.desk.is_wanted = false;
            return ControlFlow::Continue(());
        };
        let input = match ticket.input.clone() {
            Some(input) => input,
            None => match read_input(&self.seat, body, ticket) {
                Ok(input) => Arc::new(input),
                Err(error) => {
                    return self
                        .conclude(Ending::Failed(Failure::of_guest(error.to_string())))
                        .await;
                }
            },
        };
        let key = ticket.key.clone();
        self.seat.context.metrics.invocations.increment();
        let journal = body.journal.clone();
        let component = body.component.clone();
        let live = Live {
            seat: &self.seat,
            journal: &journal,
            component: &component,
        };
        let flag = body.is_committing.clone();
        let work = body.run(&key, &input);
        match attend(&mut self.mailbox, &mut self.desk, &live, &flag, work).await {
            Attended::Halted => self.halt().await,
            Attended::Done(ending) => self.conclude(ending).await,
        }
    }

    /// Tells the callers how the work at hand ended, and leaves the worker as that ending asks.
    async fn conclude(&mut self, ending: Ending) -> ControlFlow<()> {
        match ending {
            Ending::Completed(result) => {
                if let Some(ticket) = self.desk.current.take() {
                    ticket.answer(&Ok(Answer {
                        result,
                        replayed: false,
                    }));
                }
            }
            Ending::Failed(failure) => return self.failed(failure).await,
            Ending::Exited => return self.exited().await,
            Ending::Suspended => return self.suspended().await,
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

    async fn failed(&mut self, failure: Failure) -> ControlFlow<()> {
        self.seat.context.metrics.invocations_failed.increment();
        tracing::debug!(worker = %self.seat.id, message = failure.message, "the guest failed");
        let retry_from = self
            .body
            .as_ref()
            .map_or(OplogIndex::FIRST, |body| body.invoked_at);
        let entry = ErrorEntry {
            kind: failure.kind.into(),
            message: failure.message,
            retry_from: retry_from.0,
            stderr: failure.stderr,
        };
        let record = match self.leave(Entry::Error(entry.clone())).await {
            Ok(record) => record,
            Err(error) => return self.stop(&error),
        };
        if record.status() == WorkerStatus::Retrying {
            return self.pause_before_retry(&record).await;
        }
        if let Some(ticket) = self.desk.current.take() {
            ticket.answer(&Err(outcome::failed(&entry)));
        }
        self.desk.give_up(&outcome::failed_before(Some(&entry)));
        self.obey_ended().await
    }

    async fn exited(&mut self) -> ControlFlow<()> {
        if let Err(error) = self.leave(Entry::Exited(EmptyEntry {})).await {
            return self.stop(&error);
        }
        if let Some(ticket) = self.desk.current.take() {
            ticket.answer(&Err(outcome::exited()));
        }
        self.desk.give_up(&outcome::exited_before());
        self.obey_ended().await
    }

    /// Unloads the worker; its callers go on waiting.
    async fn suspended(&mut self) -> ControlFlow<()> {
        if let Err(error) = self.leave(Entry::Suspend(EmptyEntry {})).await {
            return self.stop(&error);
        }
        self.desk.is_wanted = false;
        self.desk.loaded(&Ok(()));
        if self.desk.halt.is_some() {
            return self.halt().await;
        }
        ControlFlow::Continue(())
    }

    /// Commits a last entry and drops the body.
    async fn leave(&mut self, entry: Entry) -> Result<WorkerRecord, Error> {
        if let Some(body) = &mut self.body {
            body.journal.append(entry);
            body.commit().await.map_err(|error| outcome::lost(&error))?;
        }
        self.drop_body();
        self.seat.existing()
    }

    /// Waits as the retry policy says. Messages are answered meanwhile, and can end the wait.
    async fn pause_before_retry(&mut self, record: &WorkerRecord) -> ControlFlow<()> {
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
        let live = Live {
            seat: &self.seat,
            journal: &journal,
            component: &component,
        };
        let pause = tokio::time::sleep(delay);
        match attend(&mut self.mailbox, &mut self.desk, &live, &flag, pause).await {
            Attended::Done(()) => ControlFlow::Continue(()),
            Attended::Halted => self.halt().await,
        }
    }

    /// Does what [`Desk::halt`] says. The work at hand has ended or was dropped.
    async fn halt(&mut self) -> ControlFlow<()> {
        match self.desk.halt.take() {
            None => ControlFlow::Continue(()),
            Some(Halt::Crash(replies)) => {
                self.drop_body();
                answer_all(replies, &Ok(()));
                ControlFlow::Continue(())
            }
            Some(Halt::Interrupt(replies)) => self.interrupt(replies).await,
            Some(Halt::Delete(replies)) => self.delete(replies).await,
        }
    }

    async fn interrupt(&mut self, replies: Vec<Reply<()>>) -> ControlFlow<()> {
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

    async fn delete(&mut self, replies: Vec<Reply<()>>) -> ControlFlow<()> {
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
    async fn obey_ended(&mut self) -> ControlFlow<()> {
        match self.desk.halt.take() {
            Some(Halt::Crash(replies) | Halt::Interrupt(replies)) => answer_all(replies, &Ok(())),
            Some(Halt::Delete(replies)) => return self.delete(replies).await,
            None => {}
        }
        ControlFlow::Continue(())
    }

    /// Ends the actor: somebody else may own the worker now, or what is stored is in doubt.
    fn stop(&mut self, error: &Error) -> ControlFlow<()> {
        tracing::debug!(worker = %self.seat.id, %error, "the actor stops");
        self.drop_body();
        self.desk.give_up(error);
        if let Some(Halt::Crash(replies) | Halt::Interrupt(replies) | Halt::Delete(replies)) =
            self.desk.halt.take()
        {
            answer_all(replies, &Err(error.clone()));
        }
        ControlFlow::Break(())
    }

    fn drop_body(&mut self) {
        self.body = None;
        self.seat.activity.set_loaded(false);
    }
}

/// What messages need while the body is at work.
pub(super) struct Live<'a> {
    pub(super) seat: &'a Seat,
    pub(super) journal: &'a Journal,
    pub(super) component: &'a crate::component::LoadedComponent,
}

pub(super) type CommitFlag = Arc<std::sync::atomic::AtomicBool>;

/// Does a stretch of work and answers messages meanwhile. The work is dropped when it is to be halted, but not in the
/// middle of a commit: whether that took effect must be known first.
async fn attend<T>(
    mailbox: &mut mpsc::Receiver<Message>,
    desk: &mut Desk,
    live: &Live<'_>,
    is_committing: &CommitFlag,
    work: impl Future<Output = T>,
) -> Attended<T> {
    tokio::pin!(work);
    let recording = tokio::time::sleep(live.seat.context.limits.unrecorded_run_max);
    tokio::pin!(recording);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Attended::Done(done),
            message = mailbox.recv() => match message {
                Some(message) => hear(desk, live, message),
                // The shard is gone; this task is about to be aborted.
                None => std::future::pending().await,
            },
            () = &mut recording => {
                record_so_far(live, is_committing);
                recording.set(tokio::time::sleep(live.seat.context.limits.unrecorded_run_max));
            }
        }
        if desk.halt.is_some() && !is_committing.load(Ordering::Relaxed) {
            return Attended::Halted;
        }
    }
}

/// Commits what was appended so far, so that a long invocation and those that wait behind it are seen, and go on at a new
/// owner.
fn record_so_far(live: &Live<'_>, is_committing: &CommitFlag) {
    if !live.journal.has_uncommitted() || is_committing.load(Ordering::Relaxed) {
        return;
    }
    let journal = live.journal.clone();
    tokio::spawn(async move {
        // A failure shows at the invocation's own commit.
        let _ = journal.commit().await;
    });
}

/// Handles a message while the guest runs.
fn hear(desk: &mut Desk, live: &Live<'_>, message: Message) {
    match message {
        Message::Invoke(invoke) => desk.accept_meanwhile(live, invoke),
        Message::Create(create) => create_meanwhile(live, create),
        Message::Interrupt {
            recover_immediately: true,
            reply,
        } => desk.halt(Halt::Crash(vec![reply])),
        Message::Interrupt {
            recover_immediately: false,
            reply,
        } => desk.halt(Halt::Interrupt(vec![reply])),
        Message::Delete { reply } => desk.halt(Halt::Delete(vec![reply])),
        Message::Resume { reply, .. } | Message::Recover { reply } => {
            let _ = reply.send(Ok(()));
        }
        Message::Evict => {}
    }
}

fn create_meanwhile(live: &Live<'_>, create: Create) {
    let Create { request, reply } = create;
    match live.seat.record() {
        Ok(Some(record)) => {
            let _ = reply.send(existing(live.seat, record, request.ignore_existing));
        }
        // It is about to be created by its first call.
        Ok(None) if !request.ignore_existing => {
            let _ = reply.send(Err(already_exists(live.seat)));
        }
        Ok(None) => {
            let (journal, shard, id) = (
                live.journal.clone(),
                live.seat.shard.clone(),
                live.seat.id.clone(),
            );
            tokio::spawn(async move {
                let record = match journal.commit().await {
                    Ok(_) => shard.worker(&id).map_err(Error::from),
                    Err(error) => Err(outcome::lost(&error)),
                };
                let missing = || Error::not_found(format!("worker {id} does not exist"));
                let _ = reply.send(record.and_then(|record| record.ok_or_else(missing)));
            });
        }
        Err(error) => {
            let _ = reply.send(Err(error));
        }
    }
}

fn existing(seat: &Seat, record: WorkerRecord, ignore_existing: bool) -> Result<WorkerRecord, Error> {
    if ignore_existing {
        Ok(record)
    } else {
        Err(already_exists(seat))
    }
}

fn already_exists(seat: &Seat) -> Error {
    Error::already_exists(format!("worker {} exists already", seat.id))
}

fn read_input(seat: &Seat, body: &Body, ticket: &Ticket) -> Result<crate::invoke::Input, Error> {
    use kiln_proto::v1::pending_worker_invocation_entry::Invocation;
    let entry = seat.entry(OplogIndex(ticket.recorded_at))?;
    match entry.entry {
        Some(Entry::PendingWorkerInvocation(pending)) => match pending.invocation {
            Some(Invocation::ExportedFunction(call)) => restore(&body.component, call),
            _ => Err(Error::corrupt("a pending invocation names no function")),
        },
        _ => Err(Error::corrupt(format!(
            "entry {} is no pending invocation",
            ticket.recorded_at
        ))),
    }
}

fn refuse_ended(record: &WorkerRecord) -> Result<(), Error> {
    match record.status() {
        WorkerStatus::Failed => Err(outcome::failed_before(record.last_error.as_ref())),
        WorkerStatus::Exited => Err(outcome::exited_before()),
        _ => Ok(()),
    }
}

fn is_unfinished(status: WorkerStatus) -> bool {
    matches!(
        status,
        WorkerStatus::Running | WorkerStatus::Suspended | WorkerStatus::Retrying
    )
}

fn is_recoverable(status: WorkerStatus) -> bool {
    is_unfinished(status) || status == WorkerStatus::Idle
}

fn answer_all(replies: Vec<Reply<()>>, outcome: &Result<(), Error>) {
    for reply in replies {
        // Whoever has gone away needs no answer.
        let _ = reply.send(outcome.clone());
    }
}
