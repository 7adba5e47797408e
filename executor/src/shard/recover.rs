//! After a change of owner: goes on with what the owner before had begun or accepted.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use kiln_proto::ids::WorkerId;

use super::Owned;
use crate::{route::Backoff, worker::Message};

/// A worker that takes longer to load is left to itself, so that it does not hold up the others.
const LOAD_PATIENCE: Duration = Duration::from_secs(5);
/// Between attempts, for example while its component cannot be fetched.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Loads every worker that has unfinished work, some at a time.
pub(super) async fn recover(owned: Arc<Owned>) {
    let unfinished = match owned.shard.unfinished() {
        Ok(unfinished) => unfinished,
        Err(error) => {
            tracing::error!(shard = %owned.id(), %error, "cannot list the workers to recover");
            return;
        }
    };
    if unfinished.is_empty() {
        return;
    }
    tracing::info!(shard = %owned.id(), workers = unfinished.len(), "recovering workers");
    let concurrency = owned.context().limits.recovery_concurrency;
    futures::stream::iter(unfinished)
        .for_each_concurrent(concurrency, |worker| wake(&owned, worker))
        .await;
}

async fn wake(owned: &Arc<Owned>, worker: WorkerId) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while !owned.is_closed() {
        let asked = owned.ask(&worker, |reply| Message::Recover { reply });
        let Ok(Err(error)) = tokio::time::timeout(LOAD_PATIENCE, asked).await else {
            return;
        };
        if !error.is_retryable() {
            tracing::debug!(%worker, %error, "the worker stays as it is");
            return;
        }
        tracing::warn!(%worker, %error, "cannot recover the worker yet");
        tokio::time::sleep(backoff.next_pause()).await;
    }
}
