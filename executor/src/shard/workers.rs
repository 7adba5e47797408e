use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use dashmap::DashMap;
use kiln_proto::{
    Error,
    ids::{Epoch, ShardId, WorkerId},
    v1::{OwnerHint, WorkerRecord, WorkerStatus},
};
use kiln_store::Shard;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use crate::{
    context::Context,
    worker::{Activity, Actor, Message, Reply, Seat},
};

/// An actor may end between two messages; the next one starts another. This often, then the caller has to come again.
const ATTEMPTS_MAX: usize = 8;

/// A shard that this node owns, under one epoch, with its workers in memory.
pub(crate) struct Owned {
    pub(crate) shard: Shard,
    pub(crate) epoch: Epoch,
    context: Arc<Context>,
    actors: DashMap<WorkerId, Arc<Handle>>,
    /// Set once, when the ownership is lost.
    is_closed: AtomicBool,
    serial: AtomicU64,
    /// Work that ends with the ownership.
    tasks: Mutex<Vec<AbortHandle>>,
}

/// The way to an actor.
struct Handle {
    serial: u64,
    mailbox: mpsc::Sender<Message>,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// An idle worker that could leave memory.
pub(crate) struct Candidate {
    pub(crate) idle_ms: u64,
    /// What its instance holds of the node's memory; nothing when it has none.
    pub(crate) held_bytes: Option<u64>,
    handle: Arc<Handle>,
}

impl Candidate {
    /// Asks the worker to leave. It stays when something came in between.
    pub(crate) fn evict(&self) {
        // A full mailbox means that it is not idle.
        let _ = self.handle.mailbox.try_send(Message::Evict);
    }
}

impl Owned {
    pub(crate) fn new(shard: Shard, epoch: Epoch, context: Arc<Context>) -> Self {
        Self {
            shard,
            epoch,
            context,
            actors: DashMap::new(),
            is_closed: AtomicBool::new(false),
            serial: AtomicU64::new(0),
            tasks: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> ShardId {
        self.shard.id()
    }

    /// True once the ownership has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Sends a message to a worker's actor, starting it if need be, and waits for the answer.
    ///
    /// # Errors
    /// `NOT_OWNER` when the shard is lost meanwhile, `LIMIT_EXCEEDED` when the mailbox is full, or what the actor says.
    pub(crate) async fn ask<T>(
        self: &Arc<Self>,
        worker: &WorkerId,
        message: impl Fn(Reply<T>) -> Message,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let handle = self.handle(worker)?;
            let (reply, answer) = oneshot::channel();
            match handle.mailbox.try_send(message(reply)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    return Err(
                        Error::limit_exceeded(format!("the mailbox of worker {worker} is full"))
                            .with_hint("call again later, or spread the work over more workers"),
                    );
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.forget(worker, handle.serial);
                    continue;
                }
            }
            // Without an answer the actor has ended before it saw the message.
            if let Ok(answer) = answer.await {
                return answer;
            }
        }
        Err(Error::unavailable(format!("worker {worker} is being moved")))
    }

    /// What the worker's oplog amounts to, with what only its actor knows.
    pub(crate) fn record(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, Error> {
        let mut record = self.shard.worker(worker)?;
        if let Some(record) = &mut record {
            self.overlay(worker, record);
        }
        Ok(record)
    }

    /// A run without effects is recorded when it ends; until then only the actor knows of it.
    pub(crate) fn overlay(&self, worker: &WorkerId, record: &mut WorkerRecord) {
        let runs = self
            .actors
            .get(worker)
            .is_some_and(|handle| handle.activity.is_running());
        if runs
            && matches!(
                record.status(),
                WorkerStatus::Idle | WorkerStatus::WorkerInterrupted
            )
        {
            record.set_status(WorkerStatus::Running);
        }
    }

    /// Workers that run something now, recorded or not.
    pub(crate) fn running(&self) -> Vec<WorkerId> {
        let running = self.actors.iter().filter(|actor| actor.activity.is_running());
        running.map(|actor| actor.key().clone()).collect()
    }

    /// Workers that have an instance and do nothing.
    pub(crate) fn idle_workers(&self) -> Vec<Candidate> {
        let idle = self.actors.iter().filter(|actor| !actor.activity.is_running());
        idle.map(|actor| Candidate {
            idle_ms: actor.activity.idle_ms(),
            held_bytes: actor.activity.is_loaded().then(|| actor.activity.held_bytes()),
            handle: actor.value().clone(),
        })
        .collect()
    }

    /// Number of workers with an instance.
    pub(crate) fn loaded_count(&self) -> usize {
        self.actors
            .iter()
            .filter(|actor| actor.activity.is_loaded())
            .count()
    }

    /// Lets a task end with the ownership.
    pub(crate) fn attach(&self, task: AbortHandle) {
        self.tasks.lock().push(task);
        if self.is_closed() {
            self.tasks.lock().drain(..).for_each(|task| task.abort());
        }
    }

    /// Tells a worker that it may go on, unless it does.
    pub(crate) fn wake(self: &Arc<Self>, worker: &WorkerId) {
        let runs = |handle: &Arc<Handle>| handle.activity.is_running();
        if self.actors.get(worker).is_some_and(|handle| runs(handle.value())) {
            return;
        }
        let Ok(handle) = self.handle(worker) else { return };
        // A full mailbox wakes it as well; one that has just ended is started anew at the next attempt.
        if let Err(mpsc::error::TrySendError::Closed(_)) = handle.mailbox.try_send(Message::Wake) {
            self.forget(worker, handle.serial);
        }
    }

    /// Cancels all actors at once: another node may own the shard now.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.tasks.lock().drain(..).for_each(|task| task.abort());
        for actor in &self.actors {
            actor.task.abort();
        }
        self.actors.clear();
    }

    fn handle(self: &Arc<Self>, worker: &WorkerId) -> Result<Arc<Handle>, Error> {
        let handle = match self.actors.get(worker) {
            Some(handle) => handle.clone(),
            None => self
                .actors
                .entry(worker.clone())
                .or_insert_with(|| self.start(worker))
                .clone(),
        };
        // Looked at after the insertion, so that `close` cannot miss an actor.
        if self.is_closed() {
            handle.task.abort();
            return Err(Error::not_owner(OwnerHint {
                shard: self.id().0,
                ..OwnerHint::default()
            }));
        }
        Ok(handle)
    }

    fn start(self: &Arc<Self>, worker: &WorkerId) -> Arc<Handle> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (mailbox, messages) = mpsc::channel(self.context.limits.mailbox_len_max);
        let activity = Arc::<Activity>::default();
        activity.touch();
        let seat = Seat {
            id: worker.clone(),
            shard: self.shard.clone(),
            epoch: self.epoch,
            context: self.context.clone(),
            activity: activity.clone(),
        };
        let actor = Actor::new(seat, messages).run();
        let (owned, id) = (Arc::downgrade(self), worker.clone());
        let task = tokio::spawn(async move {
            actor.await;
            if let Some(owned) = owned.upgrade() {
                owned.forget(&id, serial);
            }
        });
        Arc::new(Handle {
            serial,
            mailbox,
            activity,
            task: task.abort_handle(),
        })
    }

    fn forget(&self, worker: &WorkerId, serial: u64) {
        self.actors.remove_if(worker, |_, handle| handle.serial == serial);
    }
}
