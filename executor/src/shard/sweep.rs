//! Unloads workers that are idle for long, and the least recently used ones when room is needed.

use std::{sync::Arc, time::Duration};

use super::Shards;
use crate::worker::Wanted;

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// While workers wait for room, it is looked for this often: those that ran a moment ago may be idle now.
const PRESSED_INTERVAL: Duration = Duration::from_millis(20);
/// Evicted at a time beyond what is wanted, so that a crowd of newcomers does not sweep for each one.
const HEADROOM: usize = 8;

/// Runs until it is dropped.
pub(crate) async fn sweep(shards: Arc<Shards>) {
    let residency = &shards.context().residency;
    loop {
        let interval = if residency.wanted() != Wanted::default() {
            PRESSED_INTERVAL
        } else {
            SWEEP_INTERVAL
        };
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = residency.pressed() => {}
        }
        turn(&shards);
    }
}

fn turn(shards: &Shards) {
    let idle_ms_max = u64::try_from(shards.context().limits.idle_timeout.as_millis()).unwrap_or(u64::MAX);
    let mut idle: Vec<_> = shards
        .all_owned()
        .iter()
        .flat_map(|owned| owned.idle_workers())
        .collect();
    idle.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.idle_ms));
    let mut wanted = shards.context().residency.wanted();
    if wanted != Wanted::default() {
        wanted.places += HEADROOM;
    }
    for candidate in &idle {
        let is_pressed = wanted.places > 0 || wanted.bytes > 0;
        if let (true, Some(bytes)) = (is_pressed, candidate.held_bytes) {
            wanted.places = wanted.places.saturating_sub(1);
            wanted.bytes = wanted.bytes.saturating_sub(bytes);
            candidate.evict();
        } else if candidate.idle_ms > idle_ms_max {
            candidate.evict();
        }
    }
}
