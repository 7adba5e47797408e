//! Forgets the last writes of workers that were deleted. A worker that lives may repeat its last one at any time.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use kiln_proto::{
    Error, ErrorCode,
    ids::{ShardId, WorkerId},
    v1::{self, shard_operation::Operation},
};

use super::Storage;
use crate::{operations::On, shard::Owned};

/// Workers of one shard that are looked up in one turn.
const WRITERS_AT_ONCE: usize = 16;

/// How far the look through each shard has come: it begins anew when it is through.
#[derive(Default)]
pub(super) struct Rounds {
    after: HashMap<ShardId, Bytes>,
}

impl Storage {
    pub(super) async fn forget_writers(&self, owned: &Arc<Owned>, rounds: &mut Rounds) {
        let after = rounds.after.remove(&owned.id()).unwrap_or_default();
        match self.forget_some(owned, &after).await {
            Ok(Some(last)) => {
                rounds.after.insert(owned.id(), last);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(shard = %owned.id(), %error, "writers were not looked up"),
        }
    }

    /// Looks at the writers after `after`, and returns the last one unless it was the last of all.
    async fn forget_some(&self, owned: &Arc<Owned>, after: &[u8]) -> Result<Option<Bytes>, Error> {
        let page = owned.shard.writers(after, WRITERS_AT_ONCE)?;
        let last = page.last().map(|writer| writer.writer.clone());
        let is_last_page = page.len() < WRITERS_AT_ONCE;
        let mut gone = Vec::new();
        for writer in page.into_iter().filter(|writer| !writer.is_transient) {
            if self.created_at_ns(&writer.writer).await? != Some(writer.incarnation) {
                gone.push(writer);
            }
        }
        if !gone.is_empty() {
            let forget = Operation::ForgetWriters(v1::ForgetWriters { writers: gone });
            self.write(owned.id(), forget).await?;
        }
        Ok(last.filter(|_| !is_last_page))
    }

    /// When a worker was created; `None` when it does not exist. `worker` is its URN.
    pub(super) async fn created_at_ns(&self, worker: &[u8]) -> Result<Option<u64>, Error> {
        let Some(worker) = parse(worker) else {
            return Ok(None);
        };
        let shard = self.router.shard_of(&worker)?;
        let request = v1::GetWorkerRequest {
            worker: Some(v1::WorkerRef {
                component: worker.component.to_string(),
                worker: worker.name.as_str().to_owned(),
            }),
        };
        match self
            .router
            .route(shard, self.patience(), On::new(worker, request))
            .await
        {
            Ok(found) => Ok(found.worker.map(|worker| worker.created_at_ns)),
            Err(error) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn parse(urn: &[u8]) -> Option<WorkerId> {
    let (component, name) = std::str::from_utf8(urn)
        .ok()?
        .strip_prefix("urn:worker:")?
        .split_once('/')?;
    Some(WorkerId {
        component: component.parse().ok()?,
        name: name.parse().ok()?,
    })
}
