//! After a change of owner: goes on with what the owner before had begun or accepted.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use kiln_proto::ids::WorkerId;

use super::Owned;
use crate::worker::Message;

/// A worker that takes longer to load is left to itself, so that it does not hold up the others.
const LOAD_PATIENCE: Duration = Duration::from_secs(5);

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
    let asked = owned.ask(&worker, |reply| Message::Recover { reply });
    match tokio::time::timeout(LOAD_PATIENCE, asked).await {
        Ok(Err(error)) => tracing::warn!(%worker, %error, "cannot recover the worker"),
        Ok(Ok(())) | Err(_) => {}
    }
}
