//! Changes of workers from a cursor on, of all shards together.
//!
//! * `shard` – one shard's changes, from its owner
//! * this file – all shards, and a cursor that remembers the last change of each

mod shard;

use std::{sync::Arc, time::Duration};

use kiln_proto::{
    Error,
    ids::{ComponentId, ComponentVersion, ShardId},
    v1::{self, ChangeKind},
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Enumerator, Query,
    cursor::Cursors,
    fan_out::{incomplete, is_absence},
    local::{Wanted, decode},
    present::{Names, parse},
};
use crate::route::{Patience, Router};

pub(crate) use shard::WatchShard;

/// How long a shard is asked to wait for a change before it is asked anew.
const WAIT: Duration = Duration::from_secs(20);
/// Beyond that, an owner that does not answer at all is given up and looked for again.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(200);
/// Answers of shards that wait to be sent: slow callers slow the watch down.
const ANSWERS_MAX: usize = 16;
/// At the start every shard has to say where it is.
const START_PATIENCE: Duration = Duration::from_secs(10);
const START_CONCURRENCY: usize = 64;

/// A watch that is under way. It ends when it is dropped.
pub(crate) struct Watch {
    enumerator: Arc<Enumerator>,
    cursors: Cursors,
    /// The last change of each shard that has been told.
    told: Vec<u64>,
    is_started: bool,
    answers: mpsc::Receiver<(ShardId, Result<v1::WatchShardResponse, Error>)>,
    names: Names,
    _followers: JoinSet<()>,
}

impl Enumerator {
    /// Begins to watch: from a cursor on, or from now.
    ///
    /// # Errors
    /// `INVALID` for a filter or cursor that cannot be read; `UNAVAILABLE` when a shard does not say where it is.
    pub(crate) async fn watch(self: &Arc<Self>, request: v1::WatchWorkersRequest) -> Result<Watch, Error> {
        let component = self.component(&request.component).await?;
        let query = Query::new(component, parse(&request.filters)?, true)?;
        let cursors = self.cursors(&query)?;
        let shards = self.shard_count()?;
        let told = match request.cursor.as_str() {
            "" => self.present(&query.wanted, shards).await?,
            text => cursors.read_changes(text, shards as usize)?,
        };
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        let mut followers = JoinSet::new();
        for (shard, after) in (0..shards).map(ShardId).zip(&told) {
            let watch = WatchShard {
                shard,
                wanted: query.wanted.clone(),
                after: Some(*after),
                wait: WAIT,
            };
            followers.spawn(follow(self.router.clone(), watch, sender.clone()));
        }
        Ok(Watch {
            enumerator: self.clone(),
            cursors,
            told,
            is_started: false,
            answers,
            names: Names::default(),
            _followers: followers,
        })
    }

    /// The present change of every shard.
    async fn present(&self, wanted: &Wanted, shards: u32) -> Result<Vec<u64>, Error> {
        use futures::StreamExt;
        let asked = futures::stream::iter((0..shards).map(ShardId)).map(|shard| async move {
            let watch = WatchShard {
                shard,
                wanted: wanted.clone(),
                after: None,
                wait: Duration::ZERO,
            };
            let patience = Patience::of(Some(START_PATIENCE));
            self.router.route(shard, patience, Arc::new(watch)).await
        });
        let answers: Vec<_> = asked.buffered(START_CONCURRENCY).collect().await;
        let (mut present, mut missing, mut last_failure) = (Vec::new(), Vec::new(), None);
        for (shard, answer) in (0..).zip(answers) {
            match answer {
                Ok(answer) => present.push(answer.last),
                Err(error) if is_absence(&error) => {
                    missing.push(shard);
                    last_failure = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        last_failure.map_or(Ok(present), |error| Err(incomplete(&missing, &error)))
    }
}

/// Asks a shard for changes again and again. A shard that moves or has no owner for a while is asked until it has one.
async fn follow(
    router: Arc<Router>,
    mut watch: WatchShard,
    answers: mpsc::Sender<(ShardId, Result<v1::WatchShardResponse, Error>)>,
) {
    let shard = watch.shard;
    loop {
        let patience = Patience::of(Some(WAIT + ANSWER_PATIENCE));
        match router.route(shard, patience, Arc::new(watch.clone())).await {
            Ok(answer) => {
                watch.after = Some(answer.last);
                let is_news = !answer.changes.is_empty() || answer.is_too_old;
                if is_news && answers.send((shard, Ok(answer))).await.is_err() {
                    return;
                }
            }
            Err(error) if is_absence(&error) => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                let _ = answers.send((shard, Err(error))).await;
                return;
            }
        }
    }
}

impl Watch {
    /// The next message. The first one has no events and says from where the watch goes.
    ///
    /// # Errors
    /// When a shard refuses for good.
    pub(crate) async fn next(&mut self) -> Result<v1::WatchWorkersResponse, Error> {
        if !self.is_started {
            self.is_started = true;
            return Ok(self.message(Vec::new(), false));
        }
        let Some((shard, answer)) = self.answers.recv().await else {
            return Err(Error::internal("all followers of a watch have ended"));
        };
        let answer = answer?;
        let mut events = Vec::with_capacity(answer.changes.len());
        for change in answer.changes {
            events.push(self.event(shard, change).await?);
        }
        if let Some(told) = self.told.get_mut(shard.0 as usize) {
            *told = answer.last;
        }
        Ok(self.message(events, answer.is_too_old))
    }

    fn message(&self, events: Vec<v1::WorkerEvent>, reset: bool) -> v1::WatchWorkersResponse {
        v1::WatchWorkersResponse {
            events,
            cursor: self.cursors.changes(&self.told),
            reset,
        }
    }

    async fn event(&mut self, shard: ShardId, change: v1::ShardChange) -> Result<v1::WorkerEvent, Error> {
        let kind = change.kind();
        let id = change.worker_id.unwrap_or_default();
        let component = ComponentId::from_slice(&id.component_id)?;
        let mut event = v1::WorkerEvent {
            kind: kind.into(),
            component_id: component.to_string(),
            worker: id.name,
            ..v1::WorkerEvent::default()
        };
        let version = if kind == ChangeKind::Deleted {
            ComponentVersion(0)
        } else {
            let record = decode(change.record)?;
            let version = ComponentVersion(record.component_version);
            event.info = Some(self.enumerator.info(record, shard, &mut self.names).await?);
            version
        };
        event.component = self.enumerator.name(component, version, &mut self.names).await;
        Ok(event)
    }
}
