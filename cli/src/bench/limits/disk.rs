use std::{
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;

const RECORD_BYTES: usize = 4096;
const ROUNDS_MAX: usize = 2000;
const TIME_MAX: Duration = Duration::from_secs(2);

/// Where `kiln up` keeps its data by default, or the folder for temporary files as long as there is none.
pub(super) fn default_folder() -> PathBuf {
    let data = crate::up::default_data();
    if data.is_dir() { data } else { std::env::temp_dir() }
}

/// Median time of an append of 4 KiB with fdatasync to a growing file, as a log does it.
pub(super) fn fdatasync_p50_ms(folder: &Path) -> anyhow::Result<f64> {
    let mut file =
        tempfile::tempfile_in(folder).with_context(|| format!("make a file in {}", folder.display()))?;
    let record = [0x5a; RECORD_BYTES];
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < ROUNDS_MAX && started.elapsed() < TIME_MAX {
        let began = Instant::now();
        file.write_all(&record).context("write")?;
        file.sync_data().context("sync")?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2].as_secs_f64() * 1000.0)
}
