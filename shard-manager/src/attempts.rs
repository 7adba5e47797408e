//! Which steps of the plan have failed, and when they may be tried again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::plan::{Failure, StepKey};

const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A step that is asked for again so soon after it was done had no effect.
const EFFECT_WITHIN: Duration = Duration::from_secs(10);
/// A step that has not been tried for that long starts anew.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// The history of the steps that other nodes carry out. Soft state of the leading manager.
#[derive(Default)]
pub(crate) struct Attempts {
    of: BTreeMap<StepKey, Attempt>,
}

struct Attempt {
    failures: u32,
    not_before: Instant,
    done_at: Option<Instant>,
}

impl Attempts {
    /// Whether a planned step is to be carried out now. A step that was done and is planned again all the same has
    /// failed in a way that nobody has noticed: a transfer that the new leader did not take up, for example. It waits.
    pub(crate) fn may_start(&mut self, key: StepKey, now: Instant, jitter: f64) -> bool {
        let Some(attempt) = self.of.get_mut(&key) else {
            return true;
        };
        match attempt.done_at.take() {
            Some(done_at) if now.duration_since(done_at) < EFFECT_WITHIN => {
                attempt.fail(now, jitter);
                false
            }
            _ => true,
        }
    }

    pub(crate) fn succeeded(&mut self, key: StepKey, now: Instant) {
        let attempt = self.of.entry(key).or_insert(Attempt {
            failures: 0,
            not_before: now,
            done_at: None,
        });
        attempt.not_before = now;
        attempt.done_at = Some(now);
    }

    /// Counts a failure and returns how many there have been.
    pub(crate) fn failed(&mut self, key: StepKey, now: Instant, jitter: f64) -> u32 {
        let attempt = self.of.entry(key).or_insert(Attempt {
            failures: 0,
            not_before: now,
            done_at: None,
        });
        attempt.done_at = None;
        attempt.fail(now, jitter);
        attempt.failures
    }

    /// Everything may be tried again at once.
    pub(crate) fn forget(&mut self) {
        self.of.clear();
    }

    /// What the plan goes by.
    pub(crate) fn failures(&mut self, now: Instant) -> BTreeMap<StepKey, Failure> {
        self.of
            .retain(|_, attempt| now.saturating_duration_since(attempt.not_before) < FORGET_AFTER);
        let failed = self.of.iter().filter(|(_, attempt)| attempt.failures > 0);
        failed
            .map(|(key, attempt)| {
                (
                    *key,
                    Failure {
                        count: attempt.failures,
                        waiting: attempt.not_before > now,
                    },
                )
            })
            .collect()
    }
}

impl Attempt {
    fn fail(&mut self, now: Instant, jitter: f64) {
        self.failures += 1;
        let doubled = BACKOFF_MIN
            .saturating_mul(1 << (self.failures - 1).min(10))
            .min(BACKOFF_MAX);
        self.not_before = now + doubled.mul_f64(jitter);
    }
}

#[cfg(test)]
mod tests {
    use kiln_proto::ids::{NodeId, ShardId};

    use super::*;
    use crate::plan::StepKind;

    const KEY: StepKey = StepKey {
        kind: StepKind::Transfer,
        shard: ShardId(1),
        node: NodeId(2),
    };

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_limit() {
        let start = Instant::now();
        let mut attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..10 {
            attempts.failed(KEY, start, 1.0);
            waits.push(attempts.of[&KEY].not_before - start);
        }
        let expected = [
            500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000,
        ];
        assert_eq!(waits, expected.map(Duration::from_millis));
    }

    #[test]
    fn a_step_that_is_done_but_planned_again_has_failed() {
        let start = Instant::now();
        let mut attempts = Attempts::default();
        assert!(attempts.may_start(KEY, start, 1.0));
        attempts.succeeded(KEY, start);
        assert!(attempts.failures(start).is_empty());
        assert!(
            !attempts.may_start(KEY, seconds(start, 1), 1.0),
            "it had no effect"
        );
        assert_eq!(
            attempts.failures(seconds(start, 1))[&KEY],
            Failure {
                count: 1,
                waiting: true
            }
        );
        assert_eq!(
            attempts.failures(seconds(start, 2))[&KEY],
            Failure {
                count: 1,
                waiting: false
            }
        );
        assert!(
            attempts.may_start(KEY, seconds(start, 2), 1.0),
            "once more after the wait"
        );
    }

    #[test]
    fn the_same_step_much_later_is_another_matter() {
        let start = Instant::now();
        let mut attempts = Attempts::default();
        attempts.succeeded(KEY, start);
        assert!(attempts.may_start(KEY, seconds(start, 30), 1.0));
        attempts.failed(KEY, start, 1.0);
        assert!(
            attempts.failures(seconds(start, 400)).is_empty(),
            "and failures are forgotten"
        );
    }
}
