use std::sync::atomic::{AtomicBool, Ordering};

use kiln_proto::ids::WorkerId;
use tokio::sync::watch;

use super::followers::Followers;

/// Tells the owner of a shard that something may have become due earlier than it knows.
#[derive(Default)]
pub(super) struct Agenda {
    /// Changed by a command that has been applied and not yet written.
    is_touched: AtomicBool,
    turn: watch::Sender<u64>,
    followers: Followers,
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
        self.followers.written();
    }

    /// Notes that entries of a worker are about to be written.
    pub(super) fn followed(&self, worker: &WorkerId) {
        self.followers.note(worker);
    }

    /// Waits for entries of a worker that are written after this call.
    pub(super) fn follow(&self, worker: &WorkerId) -> watch::Receiver<u64> {
        self.followers.follow(worker)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.turn.subscribe()
    }
}
