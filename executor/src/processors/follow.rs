use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use kiln_proto::{
    Error, ErrorCode,
    ids::{ComponentId, ComponentVersion, OplogIndex, WorkerId},
    v1::WorkerRecord,
};
use kiln_store::{AccessPath, Change};
use prost::Message as _;
use tokio::time::Instant;

use super::delivery::Delivery;
use crate::{route::Backoff, shard::Owned};

/// Workers whose news are delivered at the same time.
const DELIVERIES_MAX: usize = 16;
/// Changes that are read at once.
const CHANGES_MAX: usize = 1000;
/// Shortest time between two looks: what is committed meanwhile goes together.
const GATHER: Duration = Duration::from_millis(100);
/// Without a change somebody looks this often for what could not be delivered.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest that one of them may keep the others waiting. Its call goes on, and is found by its key.
const TURN_MAX: Duration = Duration::from_secs(10);
/// Pause after what a processor did not take.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Delivers the oplogs of a shard's workers to their processors, as long as the shard is owned.
pub(crate) async fn follow(owned: Arc<Owned>) {
    let mut applied = owned.shard.group().applied_changes();
    let mut sources = Sources::default();
    loop {
        applied.mark_unchanged();
        if let Err(error) = sources.look(&owned).await {
            tracing::debug!(shard = %owned.id(), %error, "cannot tell which workers have oplog processors");
        }
        sources.deliver(&owned).await;
        tokio::time::sleep(GATHER).await;
        let _ = tokio::time::timeout(LOOK_EVERY, applied.changed()).await;
        if owned.is_closed() {
            return;
        }
    }
}

/// The workers of a shard that have processors.
#[derive(Default)]
struct Sources {
    /// The last change that was looked at; `None` before all workers were.
    after: Option<u64>,
    sources: HashMap<WorkerId, Vec<Slot>>,
}

/// A delivery, and when it may go on after a failure.
struct Slot {
    delivery: Delivery,
    backoff: Backoff,
    not_before: Instant,
}

impl Sources {
    /// Finds new workers, and those that have another version now.
    async fn look(&mut self, owned: &Owned) -> Result<(), Error> {
        let processed = processed(owned).await?;
        if processed.is_empty() {
            *self = Self::default();
            return Ok(());
        }
        while !self.take_changes(owned, &processed)? {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Takes in what has changed; true when that is all.
    fn take_changes(&mut self, owned: &Owned, processed: &Processed) -> Result<bool, Error> {
        owned.shard.view(|view| {
            if let Some(after) = self.after {
                let found = view.changes(after, CHANGES_MAX)?;
                if !found.is_too_old {
                    let is_all = found.changes.len() < CHANGES_MAX;
                    for (number, change) in found.changes {
                        match change {
                            Change::Changed { record, .. } => self.note(&record, processed)?,
                            Change::Deleted(worker) => {
                                self.sources.remove(&worker);
                            }
                        }
                        self.after = Some(number);
                    }
                    return Ok(is_all);
                }
            }
            self.sources.clear();
            view.search::<Error>(&AccessPath::All, None, |hit| {
                if let Some(record) = hit.record {
                    self.note(&record, processed)?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            self.after = Some(view.last_change()?);
            Ok(true)
        })
    }

    fn note(&mut self, record: &[u8], processed: &Processed) -> Result<(), Error> {
        let record = WorkerRecord::decode(record);
        let record = &record.map_err(|error| Error::corrupt(format!("a worker record: {error}")))?;
        let worker = record.worker_id.as_ref().map(WorkerId::try_from);
        let worker = worker.ok_or_else(|| Error::corrupt("a worker record has no identity"))??;
        let nobody = Vec::new();
        let wanted = processed.get(&(worker.component, record.component_version));
        let wanted: HashSet<&String> = wanted.unwrap_or(&nobody).iter().collect();
        let slots = self.sources.remove(&worker).unwrap_or_default();
        let mut slots: Vec<Slot> = slots
            .into_iter()
            .filter(|slot| slot.delivery.is_of(record) && wanted.contains(&slot.delivery.processor))
            .collect();
        for processor in wanted {
            if slots.iter().all(|slot| slot.delivery.processor != *processor) {
                slots.push(Slot {
                    delivery: Delivery::new(&worker, record, processor.clone()),
                    backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
                    not_before: Instant::now(),
                });
            }
        }
        if !slots.is_empty() {
            self.sources.insert(worker, slots);
        }
        Ok(())
    }

    /// Delivers what is new. A processor that fails is left alone for a while.
    async fn deliver(&mut self, owned: &Owned) {
        let now = Instant::now();
        let slots = self.sources.values_mut().flatten();
        let due: Vec<&mut Slot> = slots
            .filter(|slot| slot.not_before <= now && slot.delivery.has_news(owned))
            .collect();
        let mut deliveries = Vec::with_capacity(due.len());
        for slot in due {
            deliveries.push(turn(owned, slot));
        }
        let deliveries = futures::stream::iter(deliveries).buffer_unordered(DELIVERIES_MAX);
        deliveries.collect::<Vec<()>>().await;
    }
}

async fn turn(owned: &Owned, slot: &mut Slot) {
    let delivered = tokio::time::timeout(TURN_MAX, slot.delivery.deliver(owned)).await;
    match delivered.unwrap_or_else(|_| Err(Error::unavailable("it takes long"))) {
        Ok(()) => slot.backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        Err(error) => {
            let (worker, processor) = (&slot.delivery.source, &slot.delivery.processor);
            tracing::warn!(%worker, processor, %error, "an oplog processor did not take its batch; it is sent again");
            slot.not_before = Instant::now() + slot.backoff.next_pause();
        }
    }
}

/// Names of the processors of each component version that has any.
type Processed = HashMap<(ComponentId, u64), Vec<String>>;

/// What a shard has of them. With no such component nothing more is looked at.
async fn processed(owned: &Owned) -> Result<Processed, Error> {
    let mut processed = Processed::new();
    let tallies = owned.shard.view(|view| view.tallies(None))?;
    let versions: HashSet<_> = tallies
        .iter()
        .map(|tally| (tally.component, tally.version))
        .collect();
    for (component, version) in versions {
        let registry = &owned.context().registry;
        match registry.version(component, ComponentVersion(version)).await {
            Ok(found) if !found.processors.is_empty() => {
                processed.insert((component, version), found.processors.clone());
            }
            Ok(_) => {}
            // It was removed: its workers do nothing any more.
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(processed)
}

impl Delivery {
    /// True when the source has entries that were not delivered.
    fn has_news(&self, owned: &Owned) -> bool {
        let record = owned.shard.worker(&self.source).ok().flatten();
        record.is_some_and(|record| {
            self.is_of(&record)
                && self
                    .next
                    .is_none_or(|next| next <= OplogIndex(record.oplog_index))
        })
    }
}
