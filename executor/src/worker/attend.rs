//! Work that takes long, with an ear for messages meanwhile.

use std::sync::{Arc, atomic::Ordering};

use kiln_proto::{Error, v1::WorkerRecord};
use tokio::sync::mpsc;

use super::{
    adopt::adopted_before,
    desk::{Desk, Halt},
    mailbox::{Adoption, Create, Message, Reply},
    seat::Seat,
};
use crate::{component::LoadedComponent, invoke::outcome, journal::Journal};

/// How a stretch of work came to its end.
pub(super) enum Attended<T> {
    Done(T),
    /// It was dropped, because of [`Desk::halt`].
    Halted,
}

/// What messages need while the body is at work.
pub(super) struct Live<'a> {
    pub(super) seat: &'a Seat,
    pub(super) journal: &'a Journal,
    pub(super) component: &'a LoadedComponent,
    pub(super) is_ephemeral: bool,
}

impl<'a> Live<'a> {
    pub(super) fn of(
        seat: &'a Seat,
        journal: &'a Journal,
        component: &'a LoadedComponent,
        is_ephemeral: bool,
    ) -> Self {
        Self {
            seat,
            journal,
            component,
            is_ephemeral,
        }
    }

    pub(super) fn commit_and_tell(&self, reply: Reply<()>) {
        self.commit_and_tell_that((), reply);
    }

    /// Answers once everything appended so far is committed. Not awaited: the guest's own commit may be under way and must
    /// go on.
    pub(super) fn commit_and_tell_that<T: Send + 'static>(&self, answer: T, reply: Reply<T>) {
        let journal = self.journal.clone();
        tokio::spawn(async move {
            let committed = journal.commit().await.map_err(|error| outcome::lost(&error));
            let _ = reply.send(committed.map(|_| answer));
        });
    }
}

pub(super) type CommitFlag = Arc<std::sync::atomic::AtomicBool>;

/// Does a stretch of work and answers messages meanwhile. The work is dropped when it is to be halted, but not in the
/// middle of a commit: whether that took effect must be known first.
pub(super) async fn attend<T>(
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
        Message::Files(files) => desk.files.push(files),
        Message::Delete { reply } => desk.halt(Halt::Delete(vec![reply])),
        Message::Update(update) => desk.update_meanwhile(live, update),
        Message::Revert(revert) => desk.defer(Message::Revert(revert)),
        Message::Cancel(cancel) => desk.cancel_meanwhile(live, cancel),
        Message::Flush { reply } => flush_meanwhile(live, reply),
        Message::Adopt { adoption, reply } => adopt_meanwhile(live, &adoption, reply),
        Message::Resume { reply, .. } | Message::Recover { reply } => {
            let _ = reply.send(Ok(()));
        }
        Message::Evict | Message::Wake => {}
    }
}

fn flush_meanwhile(live: &Live<'_>, reply: Reply<WorkerRecord>) {
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

/// The worker exists, or is about to: at most it is the one that is to be made.
fn adopt_meanwhile(live: &Live<'_>, adoption: &Adoption, reply: Reply<()>) {
    let adopted = live.seat.record();
    let adopted =
        adopted.and_then(|record| adopted_before(&record.unwrap_or_default(), &adoption.fork_token));
    let _ = reply.send(adopted);
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
        Ok(None) => flush_meanwhile(live, reply),
        Err(error) => {
            let _ = reply.send(Err(error));
        }
    }
}

pub(super) fn existing(
    seat: &Seat,
    record: WorkerRecord,
    ignore_existing: bool,
) -> Result<WorkerRecord, Error> {
    if ignore_existing {
        Ok(record)
    } else {
        Err(already_exists(seat))
    }
}

fn already_exists(seat: &Seat) -> Error {
    Error::already_exists(format!("worker {} exists already", seat.id))
}
