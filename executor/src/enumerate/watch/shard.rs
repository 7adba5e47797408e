//! Changes of one shard's workers, from its owner.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{ComponentId, ShardId, WorkerId},
    v1::{self, ChangeKind, WorkerRecord},
};
use kiln_store::{Before, Change, Changes};
use tokio::time::Instant;
use tonic::{Response, Status};

use crate::{
    enumerate::{
        ask::client,
        filter::Known,
        local::{Wanted, decode},
    },
    route::{Operation, RemoteCall},
    shard::Owned,
};

/// An owner that has lost its shard notices after this long that nothing will change here any more.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Changes in one answer.
const CHANGES_MAX: usize = 1000;

/// A question for changes, on its way to a shard's owner.
#[derive(Debug, Clone)]
pub(crate) struct WatchShard {
    pub(crate) shard: ShardId,
    pub(crate) wanted: Wanted,
    /// The last known change; `None` asks for the present one.
    pub(crate) after: Option<u64>,
    /// How long to wait for a change.
    pub(crate) wait: Duration,
}

impl From<&WatchShard> for v1::WatchShardRequest {
    fn from(watch: &WatchShard) -> Self {
        Self {
            shard: watch.shard.0,
            component_id: watch.wanted.component_bytes(),
            filter: Some((&watch.wanted.filter).into()),
            after: watch.after,
            limit: u32::try_from(CHANGES_MAX).unwrap_or(u32::MAX),
            wait_ms: u32::try_from(watch.wait.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<v1::WatchShardRequest> for WatchShard {
    type Error = Error;

    fn try_from(request: v1::WatchShardRequest) -> Result<Self, Error> {
        Ok(Self {
            shard: ShardId(request.shard),
            wanted: Wanted::read(&request.component_id, request.filter.as_ref())?,
            after: request.after,
            wait: Duration::from_millis(request.wait_ms.into()),
        })
    }
}

impl Operation for WatchShard {
    type Reply = v1::WatchShardResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::WatchShardResponse, Error> {
        let deadline = Instant::now() + self.wait;
        // An owner that was replaced may know less than the caller.
        owned.shard.barrier().await?;
        let mut applied = owned.shard.group().applied_changes();
        let Some(mut after) = self.after else {
            return Ok(v1::WatchShardResponse {
                last: owned.shard.view(|view| view.last_change())?,
                ..v1::WatchShardResponse::default()
            });
        };
        loop {
            applied.mark_unchanged();
            let (answer, is_all) = self.read(&owned, after)?;
            // What concerns nobody is told by the number alone.
            after = answer.last;
            let is_news = !answer.changes.is_empty() || answer.is_too_old;
            if is_news || Instant::now() >= deadline {
                return Ok(answer);
            }
            if !is_all {
                continue;
            }
            let look_at = (Instant::now() + LOOK_INTERVAL).min(deadline);
            let _ = tokio::time::timeout_at(look_at, applied.changed()).await;
            if owned.is_closed() {
                return Err(Error::unavailable(format!("shard {} has moved", self.shard)));
            }
        }
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::WatchShardResponse>, Status> {
        client(&call).watch_shard(call.request(self.into())).await
    }
}

impl WatchShard {
    /// Changes after one, and whether these are all.
    fn read(&self, owned: &Owned, after: u64) -> Result<(v1::WatchShardResponse, bool), Error> {
        let (read, last) = owned.shard.view(|view| {
            let last = view.last_change()?;
            Ok::<_, Error>((view.changes(after, CHANGES_MAX)?, last))
        })?;
        let Changes { changes, is_too_old } = read;
        let mut answer = v1::WatchShardResponse {
            last: if is_too_old { last } else { after },
            is_too_old,
            ..v1::WatchShardResponse::default()
        };
        let is_all = changes.len() < CHANGES_MAX;
        for (number, change) in changes {
            answer.last = number;
            answer.changes.extend(self.wanted.event(after, change)?);
        }
        Ok((answer, is_all))
    }
}

impl Wanted {
    /// What a change means to who wants these workers and knows everything up to the change `after`.
    fn event(&self, after: u64, change: Change) -> Result<Option<v1::ShardChange>, Error> {
        match change {
            Change::Deleted(worker) => Ok(self.deletion(&worker)),
            Change::Changed { record, before } => self.change(after, record, before),
        }
    }

    fn deletion(&self, worker: &WorkerId) -> Option<v1::ShardChange> {
        let known = Known {
            name: Some(worker.name.as_str()),
            ..Known::default()
        };
        let concerns = self.is_of(worker.component) && self.filter.judge(&known) != Some(false);
        concerns.then(|| v1::ShardChange {
            kind: ChangeKind::Deleted.into(),
            worker_id: Some(worker.into()),
            record: Bytes::new(),
        })
    }

    fn change(
        &self,
        after: u64,
        record: Bytes,
        before: Option<Before>,
    ) -> Result<Option<v1::ShardChange>, Error> {
        let whole = decode(record.clone())?;
        let id = whole.worker_id.clone().unwrap_or_default();
        if !self.is_of(ComponentId::from_slice(&id.component_id)?) {
            return Ok(None);
        }
        let kind = if self.filter.matches(&whole) {
            ChangeKind::Changed
        } else if self.may_have_matched(&whole, after, before) {
            ChangeKind::Left
        } else {
            return Ok(None);
        };
        Ok(Some(v1::ShardChange {
            kind: kind.into(),
            worker_id: Some(id),
            record,
        }))
    }

    /// What a worker was at the change `after` is known when it has changed only once since.
    fn may_have_matched(&self, record: &WorkerRecord, after: u64, before: Option<Before>) -> bool {
        let Some(before) = before else { return false };
        let is_known = before.change <= after;
        let known = Known {
            status: is_known.then_some(before.status),
            version: is_known.then_some(before.version),
            ..Known::all_of(record)
        };
        self.filter.judge(&known) != Some(false)
    }

    fn is_of(&self, component: ComponentId) -> bool {
        self.component.is_none_or(|wanted| wanted == component)
    }
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1::WorkerStatus;
    use prost::Message as _;

    use super::*;
    use crate::enumerate::filter::Filter;

    #[test]
    fn only_changes_that_concern_the_filter_are_told() {
        let wanted = Wanted {
            component: None,
            filter: Filter::parse_all(&["status = failed and name startswith a"]).expect("valid"),
        };
        let before = |change, status| {
            Some(Before {
                change,
                status,
                version: 0,
            })
        };
        let cases = [
            ("a", WorkerStatus::Failed, None, Some(ChangeKind::Changed)),
            ("b", WorkerStatus::Failed, None, None),
            ("a", WorkerStatus::Idle, None, None),
            (
                "a",
                WorkerStatus::Idle,
                before(5, WorkerStatus::Failed),
                Some(ChangeKind::Left),
            ),
            ("a", WorkerStatus::Idle, before(5, WorkerStatus::Running), None),
            // It has changed more than once since: it may have been failed in between.
            (
                "a",
                WorkerStatus::Idle,
                before(11, WorkerStatus::Running),
                Some(ChangeKind::Left),
            ),
            ("b", WorkerStatus::Idle, before(11, WorkerStatus::Running), None),
        ];
        for (name, status, before, expected) in cases {
            let record = WorkerRecord {
                worker_id: Some(v1::WorkerId {
                    component_id: vec![0; 16].into(),
                    name: name.into(),
                }),
                status: status.into(),
                ..WorkerRecord::default()
            };
            let change = Change::Changed {
                record: record.encode_to_vec().into(),
                before,
            };
            let event = wanted.event(10, change).expect("decodes");
            assert_eq!(
                event.map(|event| event.kind()),
                expected,
                "{name} {status:?} {before:?}"
            );
        }
    }
}
