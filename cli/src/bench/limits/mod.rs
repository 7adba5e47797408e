//! What this machine can do at best, measured in the same run as the load, so that results are ratios.

mod disk;
mod echo;

use std::path::Path;

pub(crate) use echo::serve as serve_echo;

/// The machine's own limits.
#[derive(Debug)]
pub(crate) struct Limits {
    /// One append of 4 KiB with fdatasync, median.
    pub(crate) fdatasync_p50_ms: f64,
    /// One bare unary call, one at a time, median.
    pub(crate) echo_p50_ms: f64,
    /// Bare unary calls, 64 at a time.
    pub(crate) echo_requests_per_second: f64,
    /// Processor time of the echo server for each of those.
    pub(crate) echo_cpu_ms_per_request: f64,
}

impl Limits {
    /// Measures for a few seconds. `folder` should be on the servers' file system.
    pub(crate) async fn measure(folder: Option<&Path>) -> anyhow::Result<Self> {
        let folder = folder.map_or_else(disk::default_folder, Path::to_owned);
        let fdatasync_p50_ms = tokio::task::spawn_blocking(move || disk::fdatasync_p50_ms(&folder)).await??;
        let echo = echo::measure().await?;
        Ok(Self {
            fdatasync_p50_ms,
            echo_p50_ms: echo.p50_ms,
            echo_requests_per_second: echo.requests_per_second,
            echo_cpu_ms_per_request: echo.cpu_ms_per_request,
        })
    }
}
