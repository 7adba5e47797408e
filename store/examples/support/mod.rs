//! What the measuring programs share.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each program includes this module and uses a part of it"
)]

#[path = "../../tests/support/entries.rs"]
mod entries;

use std::time::Duration;

use anyhow::{Context, Result};
pub use entries::{create, encode, invocation, worker};

/// Processor time of this process, from `/proc/self/stat` in ticks of 10 ms.
pub fn cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("fields")?.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
