use std::time::Duration;

pub(crate) use openraft::Config;
use openraft::SnapshotPolicy;

use crate::{Error, Options};

/// A follower that is so many entries behind gets a snapshot. It must exceed what a log keeps, or a follower that
/// could read the log would be sent everything.
const LAG_BEYOND_KEPT: u64 = 50_000;

/// Sending a snapshot may take so long.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);

/// The Raft library's settings. Reasons are in engine.md §2c.
pub(crate) fn config(options: &Options) -> Result<Config, Error> {
    let config = Config {
        cluster_name: "kiln".into(),
        heartbeat_interval: millis(options.heartbeat_interval),
        // A follower that has just answered needs no heartbeat.
        heartbeat_min_interval: Some(millis(options.heartbeat_interval) / 2),
        election_timeout_min: millis(options.election_timeout_min),
        election_timeout_max: millis(options.election_timeout_max),
        install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
        max_payload_entries: 1024,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: options.log_entries_to_keep,
        replication_lag_threshold: options.log_entries_to_keep + LAG_BEYOND_KEPT,
        purge_batch_size: options.log_entries_to_keep.clamp(1, 4096),
        // The state is not synced when a command is applied: a restarted leader must be elected like any other.
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config
        .validate()
        .map_err(|error| Error::Invalid(format!("these Raft settings do not go together: {error}")))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
