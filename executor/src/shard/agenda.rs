//! What is due at an owned shard: suspended workers go on, tasks are carried out.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use kiln_proto::{
    Error,
    convert::now_ns,
    ids::{IdempotencyKey, WorkerId},
    v1::{EndTask, ScheduledInvocation, Task, shard_operation::Operation, task::Task as What},
};
use kiln_store::Due;
use uuid::Uuid;

use super::Owned;
use crate::{host::GuestCall, route::Backoff};

/// Things of one kind that are looked at in a turn. Those that are left are due in the next.
const TURN_MAX: usize = 20_000;
/// Tasks that are carried out at the same time.
const TASKS_MAX: usize = 64;
/// Pause before what could not be done yet is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Longest sleep: the wall clock may be set while it lasts.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// Does what is due, when it is due, as long as the shard is owned.
pub(super) async fn keep(owned: Arc<Owned>) {
    let mut changes = owned.shard.agenda();
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        changes.borrow_and_update();
        let now_ns = now_ns();
        let pause = match turn(&owned, now_ns).await {
            Ok(Left {
                undone: false,
                next_ns,
            }) => {
                backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
                next_ns.map_or(SLEEP_MAX, until)
            }
            Ok(Left {
                undone: true,
                next_ns,
            }) => {
                let pause = backoff.next_pause();
                next_ns.map_or(pause, |next_ns| until(next_ns).min(pause))
            }
            Err(error) => {
                tracing::error!(shard = %owned.id(), %error, "cannot read what is due");
                LONGEST_PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause.min(SLEEP_MAX)) => {}
            changed = changes.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// What a turn leaves.
struct Left {
    /// Something that is due is not done, or not known to be.
    undone: bool,
    /// When the next thing is due.
    next_ns: Option<u64>,
}

async fn turn(owned: &Arc<Owned>, now_ns: u64) -> Result<Left, Error> {
    let due = owned.shard.due(now_ns, TURN_MAX)?;
    let mut undone = false;
    let mut tasks = Vec::new();
    for due in due {
        match due {
            // Its row stays until it has got further.
            Due::Worker(worker) => {
                owned.wake(&worker);
                undone = true;
            }
            Due::Task(task) => tasks.push(*task),
        }
    }
    let failures = futures::stream::iter(tasks)
        .map(|task| carry_out(owned, task))
        .buffer_unordered(TASKS_MAX)
        .filter(|done| std::future::ready(done.is_err()))
        .count()
        .await;
    Ok(Left {
        undone: undone || failures > 0,
        next_ns: owned.shard.next_due_after(now_ns)?,
    })
}

async fn carry_out(owned: &Arc<Owned>, task: Task) -> Result<(), Error> {
    let done = match &task.task {
        Some(What::Wake(worker)) => wake_elsewhere(owned, worker).await,
        Some(What::Invoke(invocation)) => invoke(owned, invocation).await,
        None => Ok(()),
    };
    match done {
        Err(error) if error.is_retryable() => {
            tracing::debug!(shard = %owned.id(), %error, "a task is tried again");
            return Err(error);
        }
        // A worker or component that is gone wants nothing any more.
        Err(error) => tracing::info!(shard = %owned.id(), %error, "a task has come to nothing"),
        Ok(()) => {}
    }
    let end = EndTask {
        epoch: 0,
        due_ns: task.due_ns,
        id: task.id,
    };
    owned.shard.operate(owned.epoch, Operation::EndTask(end)).await?;
    Ok(())
}

async fn wake_elsewhere(owned: &Owned, worker: &kiln_proto::v1::WorkerId) -> Result<(), Error> {
    let worker = WorkerId::try_from(worker)?;
    owned.context().cluster()?.wake(&worker).await
}

async fn invoke(owned: &Owned, invocation: &ScheduledInvocation) -> Result<(), Error> {
    let worker = invocation
        .worker_id
        .as_ref()
        .ok_or_else(|| Error::corrupt("a scheduled invocation names no worker"))?;
    let call = invocation
        .call
        .clone()
        .ok_or_else(|| Error::corrupt("a scheduled invocation names no function"))?;
    let worker = WorkerId::try_from(worker)?;
    let cluster = owned.context().cluster()?;
    if !invocation.is_flat {
        IdempotencyKey::new(&call.idempotency_key)?;
        return cluster.enqueue(&worker, call).await;
    }
    let call = GuestCall {
        worker,
        key: Uuid::parse_str(&call.idempotency_key)
            .map_err(|_| Error::corrupt("the key of a scheduled call is malformed"))?,
        function: call.function_name,
        arguments: call.request,
        context: call.context,
    };
    cluster.send(&call).await
}

fn until(time_ns: u64) -> Duration {
    Duration::from_nanos(time_ns.saturating_sub(now_ns()))
}
