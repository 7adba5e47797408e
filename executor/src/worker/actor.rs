use std::{ops::ControlFlow, sync::Arc};

use kiln_proto::{
    Error,
    ids::OplogIndex,
    v1::{WorkerRecord, WorkerStatus, oplog_entry::Entry},
};
use tokio::sync::mpsc;

use super::{
    attend::{Attended, Live, attend},
    body::{Body, Wishes},
    desk::{Desk, Halt, Job, Ticket},
    mailbox::Message,
    requests::has_work,
    seat::Seat,
};
use crate::invoke::{
    outcome::{self, Ending, Failure},
    restore,
};

/// Runs one worker: accepts invocations in order and runs them one at a time.
///
/// It answers messages also while the guest runs. It ends when it is evicted, when the worker is deleted, or when its
/// oplog cannot be written; the next message starts another one from what is stored.
pub(crate) struct Actor {
    pub(super) seat: Seat,
    pub(super) mailbox: mpsc::Receiver<Message>,
    pub(super) desk: Desk,
    pub(super) body: Option<Box<Body>>,
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
            let flow = if let Some(message) = self.desk.deferred.pop_front() {
                self.handle(message).await
            } else if self.desk.is_wanted {
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
            Message::Resume { force, reply } => return self.resume(force, reply).await,
            Message::Update(update) => return self.update(update).await,
            Message::Revert(revert) => return self.revert(revert).await,
            Message::Cancel(cancel) => return self.cancel(cancel).await,
            Message::Flush { reply } => {
                let _ = reply.send(self.settled().await);
            }
            Message::Files(files) => return self.look_into_files(files),
            Message::Adopt { adoption, reply } => return self.adopt(adoption, reply).await,
            Message::Delete { reply } => {
                self.desk.halt(Halt::Delete(vec![reply]));
                return self.halt().await;
            }
            Message::Recover { reply } => self.recover(reply),
            Message::Wake => self.wake(),
            Message::Evict => {
                self.seat.context.metrics.workers_evicted.increment();
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Makes the body from what is stored, unless it is there.
    pub(super) async fn open(&mut self, wishes: Wishes) -> Result<(), Error> {
        if self.body.is_some() {
            return Ok(());
        }
        let mut record = self.seat.record()?;
        let mut body = match &mut record {
            Some(record) => {
                refuse_ended(record)?;
                self.embody(record).await?
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
            if body.must_reload() {
                return self.reload().await;
            }
            self.answer_files().await;
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
        let live = Live::of(&self.seat, &journal, &component, body.is_ephemeral);
        let flag = body.is_committing.clone();
        let work = Box::pin(body.load(&self.seat, self.desk.memory_wanted));
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

    /// Begins the next life of the worker: another update waits, or what it was must be forgotten.
    async fn reload(&mut self) -> ControlFlow<()> {
        if let Err(error) = self.settled().await {
            return self.stop(&error);
        }
        self.drop_body();
        // An ephemeral worker rests until it is called again.
        self.desk.is_wanted = match self.seat.existing() {
            Ok(record) => has_work(&record) || !self.desk.queue.is_empty(),
            Err(_) => false,
        };
        ControlFlow::Continue(())
    }

    async fn run_next(&mut self) -> ControlFlow<()> {
        let Some(body) = &mut self.body else {
            return ControlFlow::Continue(());
        };
        let Some(ticket) = self.desk.begin() else {
            self.desk.is_wanted = false;
            return ControlFlow::Continue(());
        };
        let input = match ticket.job.clone() {
            Job::Update(version) => return self.save_for(version).await,
            Job::Call(Some(input)) => input,
            Job::Call(None) => match read_input(&self.seat, body, ticket) {
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
        let live = Live::of(&self.seat, &journal, &component, body.is_ephemeral);
        let flag = body.is_committing.clone();
        let work = body.run(&key, &input);
        match attend(&mut self.mailbox, &mut self.desk, &live, &flag, work).await {
            Attended::Halted => self.halt().await,
            Attended::Done(ending) => self.conclude(ending).await,
        }
    }
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
