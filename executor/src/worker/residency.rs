use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::host::Room;

/// Memory is handed out in pieces of this size.
const UNIT_BYTES: u64 = 4 << 10;
/// What an instance takes beside its linear memory: stack, tables, journal, resources.
const OVERHEAD_BYTES: u64 = 64 << 10;
/// A guest that grows waits this long for idle workers to make room. After that it gives up its own place, so that guests
/// which wait for each other's memory cannot block one another.
const GROWTH_PATIENCE: Duration = Duration::from_millis(250);

/// How many workers may have an instance in memory and how much they may take, and who waits for room. It is given out in
/// the order of asking, so that a large worker is not overtaken for ever by small ones.
pub(crate) struct Residency {
    shared: Arc<Shared>,
}

struct Shared {
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_units: u32,
    wanted: Mutex<Wanted>,
    pressed: Notify,
}

/// What those who wait have asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) places: usize,
    pub(crate) bytes: u64,
}

/// The right to keep one instance in memory, and the memory that it may take.
pub(crate) struct Place {
    _place: Option<OwnedSemaphorePermit>,
    claim: Arc<Claim>,
}

impl Residency {
    /// Room for that many instances, and for that much memory together.
    pub(crate) fn new(places: usize, memory_bytes: u64) -> Self {
        let memory_units = u32::try_from(memory_bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        Self {
            shared: Arc::new(Shared {
                places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
                memory: Arc::new(Semaphore::new(memory_units as usize)),
                memory_units,
                wanted: Mutex::default(),
                pressed: Notify::new(),
            }),
        }
    }

    /// Waits for room for a guest with that much linear memory. The sweeper makes some by unloading the least recently used
    /// idle workers. `held` is told how much is held from here on.
    pub(crate) async fn enter(&self, linear_bytes: u64, held: Arc<AtomicU64>) -> Place {
        let shared = &self.shared;
        let place = acquire(shared, &shared.places, 1, Wanted { places: 1, bytes: 0 }).await;
        let units = units(linear_bytes).min(shared.memory_units);
        let permit = shared.acquire_memory(units).await;
        held.store(u64::from(units) * UNIT_BYTES, Ordering::Relaxed);
        Place {
            _place: place,
            claim: Arc::new(Claim {
                shared: shared.clone(),
                permit: Mutex::new(permit),
                held,
            }),
        }
    }

    /// What is asked for now and not there.
    pub(crate) fn wanted(&self) -> Wanted {
        *self.shared.wanted.lock()
    }

    /// Waits until somebody waits for room.
    pub(crate) async fn pressed(&self) {
        self.shared.pressed.notified().await;
    }

    /// Bytes that are handed out now.
    pub(crate) fn memory_held(&self) -> u64 {
        let free = self.shared.memory.available_permits() as u64;
        u64::from(self.shared.memory_units).saturating_sub(free) * UNIT_BYTES
    }
}

impl Place {
    /// The memory that comes with it.
    pub(crate) fn room(&self) -> Arc<dyn Room> {
        self.claim.clone()
    }
}

/// Memory that one guest holds.
struct Claim {
    shared: Arc<Shared>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    held: Arc<AtomicU64>,
}

#[async_trait::async_trait]
impl Room for Claim {
    async fn reserve(&self, bytes: u64) -> bool {
        let held = self.units();
        let missing = units(bytes).min(self.shared.memory_units).saturating_sub(held);
        if missing == 0 {
            return true;
        }
        let acquired = tokio::time::timeout(GROWTH_PATIENCE, self.shared.acquire_memory(missing)).await;
        let Ok(Some(more)) = acquired else {
            return false;
        };
        let mut permit = self.permit.lock();
        match permit.as_mut() {
            Some(permit) => permit.merge(more),
            None => *permit = Some(more),
        }
        self.held
            .store(u64::from(held + missing) * UNIT_BYTES, Ordering::Relaxed);
        true
    }

    fn bytes_max(&self) -> u64 {
        let all = u64::from(self.shared.memory_units) * UNIT_BYTES;
        all.saturating_sub(OVERHEAD_BYTES) / 11 * 10
    }
}

impl Claim {
    fn units(&self) -> u32 {
        let permit = self.permit.lock();
        let units = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.held.store(0, Ordering::Relaxed);
    }
}

impl Shared {
    async fn acquire_memory(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        let bytes = u64::from(units) * UNIT_BYTES;
        acquire(self, &self.memory, units, Wanted { places: 0, bytes }).await
    }
}

/// Waits for its turn. `None` cannot happen, since the semaphores are never closed.
async fn acquire(
    shared: &Shared,
    semaphore: &Arc<Semaphore>,
    permits: u32,
    wanted: Wanted,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(semaphore).try_acquire_many_owned(permits) {
        return Some(permit);
    }
    let _waiting = Waiting::new(&shared.wanted, wanted);
    shared.pressed.notify_one();
    Arc::clone(semaphore).acquire_many_owned(permits).await.ok()
}

/// A tenth is added for what grows beside the linear memory.
fn units(linear_bytes: u64) -> u32 {
    let bytes = linear_bytes
        .saturating_add(linear_bytes / 10)
        .saturating_add(OVERHEAD_BYTES);
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Counts a waiter, also when its future is dropped.
struct Waiting<'a> {
    sum: &'a Mutex<Wanted>,
    wanted: Wanted,
}

impl<'a> Waiting<'a> {
    fn new(sum: &'a Mutex<Wanted>, wanted: Wanted) -> Self {
        let mut all = sum.lock();
        all.places += wanted.places;
        all.bytes += wanted.bytes;
        drop(all);
        Self { sum, wanted }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut all = self.sum.lock();
        all.places -= self.wanted.places;
        all.bytes -= self.wanted.bytes;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn held() -> Arc<AtomicU64> {
        Arc::default()
    }

    #[tokio::test]
    async fn memory_is_given_in_the_order_of_asking() {
        let residency = Residency::new(100, 10 * MIB);
        let first = residency.enter(5 * MIB, held()).await;
        let mut large = Box::pin(residency.enter(8 * MIB, held()));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(residency.enter(MIB, held()));
        assert!(small.as_mut().now_or_never().is_none(), "it came later");
        assert!(residency.wanted().bytes > 9 * MIB);
        drop(first);
        let large = large.await;
        assert!(small.as_mut().now_or_never().is_none());
        drop(large);
        small.await;
        assert_eq!(residency.wanted(), Wanted::default());
        assert_eq!(residency.memory_held(), 0);
    }

    #[tokio::test]
    async fn a_guest_grows_into_what_is_free_and_gives_up_after_a_while() {
        let residency = Residency::new(100, 10 * MIB);
        let (one, other) = (held(), held());
        let first = residency.enter(MIB, one.clone()).await;
        let second = residency.enter(MIB, other.clone()).await;
        assert!(first.room().reserve(7 * MIB).await);
        assert!(one.load(Ordering::Relaxed) > 7 * MIB);
        assert!(!second.room().reserve(3 * MIB).await, "nobody makes room");
        assert_eq!(residency.wanted(), Wanted::default());
        drop(first);
        assert!(second.room().reserve(3 * MIB).await);
        assert_eq!(one.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_worker_larger_than_the_node_is_told_the_most_there_is() {
        let residency = Residency::new(100, 10 * MIB);
        let place = residency.enter(100 * MIB, held()).await;
        let most = place.room().bytes_max();
        assert!(most > 8 * MIB && most < 10 * MIB);
        assert!(place.room().reserve(most).await);
    }
}
