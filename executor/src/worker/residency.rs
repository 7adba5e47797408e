use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How many workers may have an instance in memory, and who waits for room.
pub(crate) struct Residency {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    pressed: Notify,
}

/// The right to keep one instance in memory.
pub(crate) struct Place(#[allow(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

impl Residency {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            pressed: Notify::new(),
        }
    }

    /// Waits for room. The sweeper makes some by unloading the least recently used idle workers.
    pub(crate) async fn enter(&self) -> Place {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Place(Some(permit));
        }
        let _waiting = Waiting::new(&self.waiting);
        self.pressed.notify_one();
        // The semaphore is never closed.
        Place(Arc::clone(&self.places).acquire_owned().await.ok())
    }

    /// Workers that wait for room now.
    pub(crate) fn wanted(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits until somebody waits for room.
    pub(crate) async fn pressed(&self) {
        self.pressed.notified().await;
    }
}

/// Counts a waiter, also when its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the sweeper and readers see of an actor from outside.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    is_running: AtomicBool,
    is_loaded: AtomicBool,
    used_at_ms: AtomicU64,
}

impl Activity {
    pub(crate) fn begin(&self) {
        self.is_running.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.used_at_ms.store(now_ms(), Ordering::Relaxed);
        self.is_running.store(false, Ordering::Relaxed);
    }

    pub(crate) fn set_loaded(&self, loaded: bool) {
        self.is_loaded.store(loaded, Ordering::Relaxed);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Relaxed)
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Relaxed)
    }

    /// Milliseconds since the last use.
    pub(crate) fn idle_ms(&self) -> u64 {
        now_ms().saturating_sub(self.used_at_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn touch(&self) {
        self.used_at_ms.store(now_ms(), Ordering::Relaxed);
    }
}

/// A monotonic clock of this process that fits in an atomic.
fn now_ms() -> u64 {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(ORIGIN.elapsed().as_millis()).unwrap_or(u64::MAX)
}
