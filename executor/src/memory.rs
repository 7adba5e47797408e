//! How much memory this machine, or the container that the process runs in, has.

use std::{fs, path::Path};

/// Taken where nothing can be found out.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// Memory that the process may use, in bytes: the machine's, or less when its control group has a limit.
#[must_use]
pub fn available_bytes() -> u64 {
    let machine = read("/proc/meminfo").and_then(|text| total_of(&text));
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min().unwrap_or(UNKNOWN_BYTES)
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The line `MemTotal:  24611388 kB`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_total() {
        let text = "MemTotal:       24611388 kB\nMemFree:        1 kB\n";
        assert_eq!(total_of(text), Some(24_611_388 * 1024));
        assert_eq!(total_of("nothing"), None);
        assert!(available_bytes() > 0);
    }
}
