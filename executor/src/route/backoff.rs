use std::time::Duration;

use rand::Rng;

/// Pauses that double up to a limit, with jitter so that callers do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Starts with a pause of about `first`.
    #[must_use]
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// The next pause: between half of it and all of it.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(35));
        for limit_ms in [10, 20, 35, 35] {
            let pause = backoff.next_pause();
            assert!(pause <= Duration::from_millis(limit_ms) && pause >= Duration::from_millis(limit_ms / 2));
        }
    }
}
