use kiln_proto::{
    ids::OplogIndex,
    v1::{RetryPolicy, persistence_level_entry::Level},
};

/// What the guest has chosen about its own durability, and where it stands in it. Rebuilt by replay.
pub(crate) struct Control {
    /// What is persisted from here on.
    pub(in crate::host) level: Level,
    /// Remote writes whose outcome is unknown may be repeated.
    pub(in crate::host) is_idempotent: bool,
    /// When and how often a failed attempt is repeated.
    pub(in crate::host) retry_policy: RetryPolicy,
    /// Where the open atomic regions begin, outermost first.
    regions: Vec<OplogIndex>,
    /// Where the open batches of remote writes begin.
    batches: Vec<OplogIndex>,
    /// Inside a zone without persistence that has been left in an earlier life: its calls are made again, and not recorded.
    pub(in crate::host) is_in_zone: bool,
    /// The last entry by which something was written to the world, as far as the guest has come.
    pub(in crate::host) last_write: OplogIndex,
    /// A snapshot is saved or loaded: nothing of that is recorded.
    pub(in crate::host) is_snapshotting: bool,
    failures: Failures,
}

/// How often the worker has failed in a row at the same point.
#[derive(Debug, Clone, Copy, Default)]
pub struct Failures {
    /// The entry from which it was retried.
    pub retry_from: OplogIndex,
    /// Number of failures.
    pub count: u32,
}

impl Control {
    pub(in crate::host) fn new(retry_policy: RetryPolicy, failures: Failures) -> Self {
        Self {
            level: Level::Smart,
            is_idempotent: true,
            retry_policy,
            regions: Vec::new(),
            batches: Vec::new(),
            is_in_zone: false,
            last_write: OplogIndex::NONE,
            is_snapshotting: false,
            failures,
        }
    }

    pub(in crate::host) fn enter_region(&mut self, begin: OplogIndex) {
        self.regions.push(begin);
    }

    /// Leaves a region and all that were begun inside it.
    pub(in crate::host) fn leave_region(&mut self, begin: OplogIndex) {
        self.regions.retain(|region| *region < begin);
    }

    pub(in crate::host) fn enter_batch(&mut self, begin: OplogIndex) {
        self.batches.push(begin);
    }

    /// False when no such batch is open.
    pub(in crate::host) fn leave_batch(&mut self, begin: OplogIndex) -> bool {
        let before = self.batches.len();
        self.batches.retain(|batch| *batch != begin);
        self.batches.len() < before
    }

    /// Where a failed attempt starts again: at the beginning of what must be repeated as a whole, else where it stands.
    pub(in crate::host) fn retry_from(&self, current: OplogIndex) -> OplogIndex {
        let region = self.regions.first().copied();
        region
            .or_else(|| self.batches.iter().min().copied())
            .unwrap_or(current)
    }

    /// True when a failure here would be followed by another attempt.
    pub(in crate::host) fn has_attempts_left(&self, current: OplogIndex) -> bool {
        let retry_from = self.retry_from(current);
        let failed = if self.failures.retry_from == retry_from {
            self.failures.count
        } else {
            0
        };
        failed + 1 < self.retry_policy.max_attempts
    }

    /// An invocation has ended: what it left open ends with it.
    pub(in crate::host) fn end_invocation(&mut self) {
        self.level = Level::Smart;
        self.regions.clear();
        self.batches.clear();
        self.is_in_zone = false;
        self.failures = Failures::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoke::retry;

    #[test]
    fn a_retry_begins_at_the_outermost_region() {
        let mut control = Control::new(retry::DEFAULT, Failures::default());
        assert_eq!(control.retry_from(OplogIndex(9)), OplogIndex(9));
        control.enter_batch(OplogIndex(4));
        assert_eq!(control.retry_from(OplogIndex(9)), OplogIndex(4));
        control.enter_region(OplogIndex(5));
        control.enter_region(OplogIndex(7));
        assert_eq!(control.retry_from(OplogIndex(9)), OplogIndex(5));
        control.leave_region(OplogIndex(5));
        assert!(control.leave_batch(OplogIndex(4)));
        assert!(!control.leave_batch(OplogIndex(4)));
        assert_eq!(control.retry_from(OplogIndex(9)), OplogIndex(9));
    }

    #[test]
    fn attempts_are_counted_for_one_point() {
        let failures = Failures {
            retry_from: OplogIndex(3),
            count: 2,
        };
        let control = Control::new(retry::DEFAULT, failures);
        assert!(!control.has_attempts_left(OplogIndex(3)), "the third of three");
        assert!(control.has_attempts_left(OplogIndex(4)));
    }
}
