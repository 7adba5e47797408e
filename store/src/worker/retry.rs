use kiln_proto::v1::{ErrorEntry, RetryPolicy, WorkerRecord, error_entry::Kind};

/// Attempts when a worker has set no policy of its own.
const ATTEMPTS_DEFAULT: u32 = 3;

/// Counts an error against its retry point and says whether another attempt is allowed.
pub(super) fn count(record: &mut WorkerRecord, error: &ErrorEntry) -> bool {
    if record.retry_from == error.retry_from {
        record.retry_count += 1;
    } else {
        record.retry_from = error.retry_from;
        record.retry_count = 1;
    }
    is_retryable(error.kind()) && record.retry_count < attempts_max(record.retry_policy.as_ref())
}

fn attempts_max(policy: Option<&RetryPolicy>) -> u32 {
    policy.map_or(ATTEMPTS_DEFAULT, |policy| policy.max_attempts)
}

/// The same request would meet the same end. Lack of memory is no fault of the guest and is retried without limit.
fn is_retryable(kind: Kind) -> bool {
    match kind {
        Kind::Unknown | Kind::OutOfMemory => true,
        Kind::InvalidRequest | Kind::StackOverflow | Kind::ExceededMemoryLimit | Kind::ExceededLimit => false,
    }
}

/// Forgets counted attempts: another invocation begins or one has ended.
pub(super) fn reset(record: &mut WorkerRecord) {
    record.retry_count = 0;
    record.retry_from = 0;
}
