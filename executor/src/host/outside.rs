use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rand::RngCore;

/// What comes in from outside the worker and is different every time: time and randomness.
/// Whatever a guest gets from here is recorded, so that replay needs none of it.
pub trait Outside: Send + Sync + 'static {
    /// Time since the Unix epoch.
    fn wall_clock(&self) -> Duration;
    /// Nanoseconds of a clock that does not go back within this process.
    fn monotonic_ns(&self) -> u64;
    /// Fills `bytes` with randomness fit for cryptography.
    fn fill_random(&self, bytes: &mut [u8]);
}

/// The operating system's clocks and the thread's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemOutside;

impl Outside for SystemOutside {
    fn wall_clock(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Counts from the Unix epoch, fixed at the first use: so the clocks of two nodes differ by no more than their wall
    /// clocks do, and a worker that moves does not see hours pass.
    fn monotonic_ns(&self) -> u64 {
        static ORIGIN: OnceLock<(Duration, Instant)> = OnceLock::new();
        let (wall, instant) = ORIGIN.get_or_init(|| (Self.wall_clock(), Instant::now()));
        u64::try_from((*wall + instant.elapsed()).as_nanos()).unwrap_or(u64::MAX)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
