//! When a failed invocation is tried again.

use std::time::Duration;

use kiln_proto::v1::RetryPolicy;

/// The policy of workers that have not set one.
pub(crate) const DEFAULT: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    min_delay_ns: 100_000_000,
    max_delay_ns: 1_000_000_000,
    multiplier: 3.0,
    max_jitter_factor: Some(0.15),
};

/// The pause before the next attempt, after `failures` (counted from 1). `chance` in 0..1 picks the jitter.
pub(crate) fn delay(policy: &RetryPolicy, failures: u32, chance: f64) -> Duration {
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let longest_ns = policy.max_delay_ns as f64;
    let plain_ns = (policy.min_delay_ns as f64 * policy.multiplier.powi(exponent)).min(longest_ns);
    let jitter = 1.0 + policy.max_jitter_factor.unwrap_or(0.0) * chance;
    // A multiplier that a guest chose may make this negative or not a number.
    Duration::try_from_secs_f64(plain_ns * jitter / 1e9).unwrap_or(Duration::from_nanos(policy.max_delay_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_the_multiplier_up_to_the_longest() {
        let delays: Vec<u128> = (1..=5)
            .map(|failures| delay(&DEFAULT, failures, 0.0).as_millis())
            .collect();
        assert_eq!(delays, [100, 300, 900, 1000, 1000]);
        assert_eq!(delay(&DEFAULT, 1, 1.0), Duration::from_millis(115));
    }

    #[test]
    fn a_senseless_multiplier_gives_the_longest_delay() {
        let policy = RetryPolicy {
            multiplier: f64::NAN,
            ..DEFAULT
        };
        assert!(delay(&policy, 2, 0.5) <= Duration::from_millis(1200));
    }
}
