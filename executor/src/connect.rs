//! Following what a worker writes and runs. Everything comes from its oplog, as it is committed: so a stream survives the
//! loss of owner or edge without losing or doubling a line, and following wakes nobody.

use std::sync::Arc;

use kiln_proto::{
    Error,
    ids::WorkerId,
    v1::{self, IndexedOplogEntry, oplog_entry::Entry},
};
use tokio::sync::mpsc;

use crate::{edge::Api, operations::On, route::Patience, way_out::by_id};

/// Events that a late follower gets of what was before.
const RECENT_EVENTS: usize = 128;
/// Entries that are searched for them.
const RECENT_ENTRIES: u64 = 512;
/// How long the owner is asked to wait for the next entry.
const WAIT_MS: u32 = 10_000;
/// Events that wait for a slow follower; beyond it the oplog is read no further.
const BUFFERED_EVENTS: usize = 256;

/// True for what followers are shown.
fn is_event(entry: &IndexedOplogEntry) -> bool {
    matches!(
        entry.entry.as_ref().and_then(|entry| entry.entry.as_ref()),
        Some(
            Entry::Log(_)
                | Entry::ExportedFunctionInvoked(_)
                | Entry::ExportedFunctionCompleted(_)
                | Entry::Error(_)
                | Entry::Interrupted(_)
                | Entry::Exited(_)
        )
    )
}

/// What a follower gets: events, and at last why it ends.
pub(crate) type Events = mpsc::Receiver<Result<IndexedOplogEntry, Error>>;

impl Api {
    /// Follows a worker from an index on, or from a little before now.
    ///
    /// # Errors
    /// `NOT_FOUND` without such a worker, `CONFLICT` when it is interrupted: nothing comes of it until it is resumed. One that
    /// takes a stream up again behind an index still gets what was before.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        worker: Option<&v1::WorkerRef>,
        from: Option<u64>,
    ) -> Result<Events, Error> {
        let worker = self.worker(worker).await?;
        let patience = Patience::of(Some(self.context.limits.control_timeout));
        let shard = self.router.shard_of(&worker)?;
        let question = v1::GetWorkerRequest {
            worker: Some(by_id(&worker)),
        };
        let found = self
            .router
            .route(shard, patience, On::new(worker.clone(), question))
            .await?;
        let found = found.worker.unwrap_or_default();
        if from.is_none() && found.status() == v1::WorkerStatus::WorkerInterrupted {
            return Err(Error::conflict(format!("worker {worker} is interrupted"))
                .with_hint("resume it first with `kiln worker resume`, or read its oplog"));
        }
        let last = found.oplog_index;
        let (events, receiver) = mpsc::channel(BUFFERED_EVENTS);
        let follower = Follower {
            api: self.clone(),
            worker,
            events,
        };
        tokio::spawn(follower.run(from, last));
        Ok(receiver)
    }
}

struct Follower {
    api: Arc<Api>,
    worker: WorkerId,
    events: mpsc::Sender<Result<IndexedOplogEntry, Error>>,
}

impl Follower {
    async fn run(self, from: Option<u64>, last: u64) {
        let followed = async {
            match from {
                Some(from) => self.follow(from.max(1)).await,
                None => self.follow_recent(last).await,
            }
        };
        tokio::select! {
            outcome = followed => if let Err(error) = outcome {
                // Whoever has gone away needs no answer.
                let _ = self.events.send(Err(error)).await;
            },
            () = self.events.closed() => {}
        }
    }

    /// Sends the last few events up to `last`, then what comes.
    async fn follow_recent(&self, last: u64) -> Result<(), Error> {
        let mut next = last.saturating_sub(RECENT_ENTRIES).max(1);
        let mut recent = Vec::new();
        while next <= last {
            let page = self.page(next, 0).await?;
            let Some(end) = page.last() else { break };
            next = end.index + 1;
            recent.extend(page.into_iter().filter(is_event));
        }
        let skipped = recent.len().saturating_sub(RECENT_EVENTS);
        for event in recent.into_iter().skip(skipped) {
            self.send(event).await;
        }
        self.follow(next).await
    }

    async fn follow(&self, mut next: u64) -> Result<(), Error> {
        loop {
            let page = self.page(next, WAIT_MS).await?;
            if let Some(end) = page.last() {
                next = end.index + 1;
            }
            for event in page.into_iter().filter(is_event) {
                self.send(event).await;
            }
        }
    }

    async fn send(&self, event: IndexedOplogEntry) {
        // Once the follower is gone, `run` ends.
        let _ = self.events.send(Ok(event)).await;
    }

    async fn page(&self, from: u64, wait_ms: u32) -> Result<Vec<IndexedOplogEntry>, Error> {
        let request = v1::GetOplogRequest {
            worker: Some(by_id(&self.worker)),
            from,
            wait_ms,
            ..v1::GetOplogRequest::default()
        };
        let shard = self.api.router.shard_of(&self.worker)?;
        let patience = Patience::of(Some(self.api.context.limits.control_timeout));
        let page = self
            .api
            .router
            .route(shard, patience, On::new(self.worker.clone(), request))
            .await?;
        Ok(page.entries)
    }
}
