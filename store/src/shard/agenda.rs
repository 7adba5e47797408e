use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Tells the owner of a shard that something may have become due earlier than it knows.
#[derive(Default)]
pub(super) struct Agenda {
    /// Changed by a command that has been applied and not yet written.
    is_touched: AtomicBool,
    turn: watch::Sender<u64>,
}

impl Agenda {
    /// Notes a change that is about to be written.
    pub(super) fn touch(&self) {
        self.is_touched.store(true, Ordering::Relaxed);
    }

    /// Tells of the changes, now that they can be read.
    pub(super) fn written(&self) {
        if self.is_touched.swap(false, Ordering::Relaxed) {
            self.turn.send_modify(|turn| *turn += 1);
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.turn.subscribe()
    }
}
