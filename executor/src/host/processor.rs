use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};

/// Processor time of the current call of a guest. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Processor {
    spent_ns: Arc<AtomicU64>,
}

/// One invocation took more processor time than it may.
#[derive(Debug, thiserror::Error)]
#[error("the invocation used more than {} s of processor time", .max.as_secs_f64())]
pub(super) struct TooMuchTime {
    pub(super) max: Duration,
}

impl Processor {
    /// A new call begins.
    pub(super) fn reset(&self) {
        self.spent_ns.store(0, Ordering::Relaxed);
    }

    /// Fails when more than `max` is spent. What runs since the guest was last resumed is not counted yet: it gives way
    /// at each tick.
    pub(super) fn check(&self, max: Duration) -> Result<(), TooMuchTime> {
        if Duration::from_nanos(self.spent_ns.load(Ordering::Relaxed)) > max {
            return Err(TooMuchTime { max });
        }
        Ok(())
    }

    /// Runs a guest and counts the time in which it runs, not the time in which it waits.
    pub(super) fn meter<F>(&self, guest: F) -> Metered<F> {
        Metered {
            guest: Box::pin(guest),
            spent_ns: self.spent_ns.clone(),
        }
    }
}

/// A guest's future whose polls are timed.
pub(super) struct Metered<F> {
    guest: Pin<Box<F>>,
    spent_ns: Arc<AtomicU64>,
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The clock of this thread: on a crowded machine a guest does not pay for the time in which others run.
        let began = thread_time();
        let polled = self.guest.as_mut().poll(context);
        let spent = thread_time().saturating_sub(began);
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.spent_ns.fetch_add(spent, Ordering::Relaxed);
        polled
    }
}

/// Processor time of this thread since it began.
fn thread_time() -> Duration {
    // Every Linux has this clock; without it nothing would be counted.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_running_and_not_waiting() {
        let processor = Processor::default();
        let waits = async {
            tokio::time::sleep(Duration::from_millis(25)).await;
            std::thread::sleep(Duration::from_millis(25));
        };
        processor.meter(waits).await;
        assert!(processor.check(Duration::from_millis(20)).is_ok());
        let runs = async {
            let began = thread_time();
            while thread_time().saturating_sub(began) < Duration::from_millis(50) {
                std::hint::spin_loop();
            }
        };
        processor.meter(runs).await;
        assert!(processor.check(Duration::from_millis(40)).is_err());
        processor.reset();
        assert!(processor.check(Duration::ZERO).is_ok());
    }
}
