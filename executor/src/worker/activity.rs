use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

/// What the sweeper and readers see of an actor from outside.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    is_running: AtomicBool,
    is_loaded: AtomicBool,
    used_at_ms: AtomicU64,
    /// Room that the worker holds in memory.
    held_bytes: Arc<AtomicU64>,
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

    /// Bytes of the node's memory that become free when the worker is unloaded.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Where a [`Place`](super::residency::Place) writes how much it holds.
    pub(super) fn held(&self) -> Arc<AtomicU64> {
        self.held_bytes.clone()
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
