use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use kiln_proto::ids::WorkerId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Who waits for new entries of which worker. Costs the writer nothing while nobody does.
#[derive(Default)]
pub(super) struct Followers {
    /// Upper bound of the number of workers that are followed.
    count: AtomicUsize,
    followed: Mutex<Followed>,
}

#[derive(Default)]
struct Followed {
    workers: HashMap<WorkerId, watch::Sender<u64>>,
    /// Workers with entries that are applied and not yet written.
    noted: Vec<WorkerId>,
}

impl Followers {
    pub(super) fn follow(&self, worker: &WorkerId) -> watch::Receiver<u64> {
        let mut followed = self.followed.lock();
        followed.workers.retain(|_, sender| !sender.is_closed());
        let receiver = followed.workers.entry(worker.clone()).or_default().subscribe();
        self.count.store(followed.workers.len(), Ordering::SeqCst);
        receiver
    }

    pub(super) fn note(&self, worker: &WorkerId) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut followed = self.followed.lock();
        if followed.workers.contains_key(worker) {
            followed.noted.push(worker.clone());
        }
    }

    pub(super) fn written(&self) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut followed = self.followed.lock();
        for worker in std::mem::take(&mut followed.noted) {
            if let Some(sender) = followed.workers.get(&worker) {
                sender.send_modify(|turn| *turn += 1);
            }
        }
        followed.workers.retain(|_, sender| !sender.is_closed());
        self.count.store(followed.workers.len(), Ordering::SeqCst);
    }
}
