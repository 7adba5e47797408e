use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

/// Stops a guest from outside: in a loop at the next epoch tick, in a host call that waits at once.
#[derive(Clone, Default)]
pub struct Interrupter {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requested: AtomicBool,
    wake: Notify,
}

impl Interrupter {
    /// Asks the guest to stop; its call returns [`CallError::Interrupted`](super::CallError::Interrupted).
    pub fn interrupt(&self) {
        self.shared.requested.store(true, Ordering::Release);
        self.shared.wake.notify_waiters();
    }

    /// True once [`Interrupter::interrupt`] was called.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.shared.requested.load(Ordering::Acquire)
    }

    /// Runs a guest until it ends or is interrupted, which gives `None`. The guest's side of `guest` gives way at each
    /// epoch tick, so this sees an interrupt even while it loops.
    pub(super) async fn run<T>(&self, guest: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            outcome = guest => Some(outcome),
            () = self.requested() => None,
        }
    }

    /// Waits until [`Interrupter::interrupt`] is called.
    pub async fn requested(&self) {
        loop {
            let notified = self.shared.wake.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.is_requested() {
                return;
            }
            notified.await;
        }
    }
}
