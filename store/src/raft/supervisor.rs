use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use openraft::{async_runtime::WatchReceiver, errors::Fatal};

use super::{
    group::{GroupInner, Leadership},
    types::Types,
};
use crate::{Error, Machine, fail_stop};

/// So many failures within [`FAILURE_WINDOW`] stop the node.
const FAILURES_MAX: usize = 5;
const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// Wait before a failed core is rebuilt.
const REBUILD_DELAY: Duration = Duration::from_millis(100);

/// Watches a group's core: publishes who leads, and rebuilds the core from disk when it has failed.
pub(super) async fn run<M: Machine>(group: Arc<GroupInner<M>>) {
    let mut stopping = group.stopping.subscribe();
    let mut failures = VecDeque::new();
    loop {
        let failure = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            failure = watch(&group) => failure,
        };
        if *stopping.borrow() {
            return;
        }
        tracing::error!(group = %group.id, error = %failure, "a group's core has failed and is rebuilt");
        group.leadership.send_replace(Leadership::default());
        limit(&mut failures, &failure);
        tokio::time::sleep(REBUILD_DELAY).await;
        while let Err(error) = group.rebuild().await {
            tracing::error!(group = %group.id, %error, "a group cannot be rebuilt");
            limit(&mut failures, &error);
            tokio::time::sleep(REBUILD_DELAY).await;
        }
    }
}

/// Publishes changes of leadership until the core stops; returns why it did.
async fn watch<M: Machine>(group: &GroupInner<M>) -> Error {
    let raft = group.raft();
    let mut servers = raft.server_metrics();
    let mut metrics = raft.metrics();
    loop {
        group.publish_leadership();
        let state: Result<(), Fatal<Types>> = metrics.borrow_and_update().running_state.clone();
        if let Err(fatal) = state {
            return Error::Unavailable(fatal.to_string());
        }
        let changed = tokio::select! {
            changed = servers.changed() => changed,
            changed = metrics.changed() => changed,
        };
        if changed.is_err() {
            return Error::Stopped;
        }
    }
}

fn limit(failures: &mut VecDeque<Instant>, error: &Error) {
    let now = Instant::now();
    failures.retain(|at| now.duration_since(*at) < FAILURE_WINDOW);
    failures.push_back(now);
    if failures.len() >= FAILURES_MAX {
        fail_stop::stop("a group keeps failing", error);
    }
}
