//! Deadline, backoff, and what an error asks for.

use std::time::{Duration, Instant};

use kiln_proto::{Error, error::TRAILER};
use rand::Rng;
use tonic::Status;

const FIRST_PAUSE: Duration = Duration::from_millis(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// What the answer of one attempt asks for.
#[derive(Debug)]
pub(crate) enum Advice {
    /// Ask the owner that the error names, at once.
    Redirect(Error),
    /// The address did not answer; ask another one.
    Unreachable(Error),
    /// Ask again after a pause.
    Again(Error),
    /// Nothing that a retry could change.
    GiveUp(Error),
}

/// Judges the status of a failed attempt.
pub(crate) fn judge(status: Status) -> Advice {
    let answered_by_kiln = status.metadata().get_bin(TRAILER).is_some();
    let error = Error::from(status);
    if !error.is_retryable() {
        return Advice::GiveUp(error);
    }
    if !answered_by_kiln {
        return Advice::Unreachable(error);
    }
    match &error.owner {
        Some(owner) if !owner.address.is_empty() => Advice::Redirect(error),
        _ => Advice::Again(error),
    }
}

/// Pauses that double, with jitter so that clients do not come back together, until a deadline.
#[derive(Debug)]
pub(crate) struct Backoff {
    deadline: Instant,
    pause: Duration,
}

impl Backoff {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            pause: FIRST_PAUSE,
        }
    }

    /// Time left before the deadline; `None` when it has passed.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.deadline
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }

    /// Waits before the next attempt, at most until the deadline.
    pub(crate) async fn pause(&mut self) {
        let jittered = self.pause.mul_f64(rand::rng().random_range(0.5..1.5));
        let left = self.deadline.saturating_duration_since(Instant::now());
        tokio::time::sleep(jittered.min(left)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1::OwnerHint;

    use super::*;

    #[test]
    fn advice() {
        let owner = |address: &str| OwnerHint {
            shard: 0,
            node_id: 1,
            address: address.into(),
        };
        assert!(matches!(
            judge(Error::not_owner(owner("a:1")).into()),
            Advice::Redirect(_)
        ));
        assert!(matches!(
            judge(Error::not_owner(owner("")).into()),
            Advice::Again(_)
        ));
        assert!(matches!(
            judge(Error::unavailable("no quorum").into()),
            Advice::Again(_)
        ));
        assert!(matches!(
            judge(Error::worker_failed("trap").into()),
            Advice::GiveUp(_)
        ));
        assert!(matches!(
            judge(Status::unavailable("refused")),
            Advice::Unreachable(_)
        ));
        assert!(matches!(judge(Status::invalid_argument("no")), Advice::GiveUp(_)));
    }
}
