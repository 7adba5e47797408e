use std::time::Duration;

/// Named bounds of what one guest may do. Its memory is bounded by
/// [`HostOptions::memory_bytes_max`](super::HostOptions::memory_bytes_max).
#[derive(Debug, Clone)]
pub struct GuestLimits {
    /// Processor time of one invocation.
    pub invocation_cpu_max: Duration,
    /// Bytes that one invocation writes to stdout, stderr and logs.
    pub log_bytes_max: u64,
    /// Bytes of one message to `wasi:logging`.
    pub log_message_bytes_max: usize,
    /// Bytes of the strings and lists that one host call takes from the guest.
    pub host_call_bytes_max: usize,
    /// Random bytes that one host call gives.
    pub random_bytes_max: u64,
    /// Resources of the host that a worker holds at a time: streams, pollables, descriptors and others.
    pub resources_max: usize,
    /// Bytes in the files of one worker.
    pub folder_bytes_max: u64,
    /// Files, folders and links of one worker.
    pub folder_files_max: u64,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            invocation_cpu_max: Duration::from_secs(60),
            log_bytes_max: 64 << 20,
            log_message_bytes_max: 1 << 20,
            host_call_bytes_max: 64 << 20,
            random_bytes_max: 1 << 20,
            resources_max: 100_000,
            folder_bytes_max: 256 << 20,
            folder_files_max: 10_000,
        }
    }
}

/// The guest went beyond one of its limits, which the text names. Trying again would end the same way.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct LimitExceeded(pub(super) String);
