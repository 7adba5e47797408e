//! Which shard a worker belongs to.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ids::{ShardId, WorkerId};

/// Most shards that a cluster can have.
pub const SHARDS_MAX: u32 = 4096;

/// The shard of a worker: the upper bits of XXH3-64 over component and name.
///
/// `shard_count` is a power of two, fixed when the cluster is founded. The hash is part of the storage
/// format: it must never change.
#[must_use]
pub fn shard_of(worker: &WorkerId, shard_count: u32) -> ShardId {
    debug_assert!(shard_count.is_power_of_two() && shard_count <= SHARDS_MAX);
    let component = xxh3_64_with_seed(worker.component.as_bytes(), 0);
    let hash = xxh3_64_with_seed(worker.name.as_str().as_bytes(), component);
    let bits = shard_count.trailing_zeros();
    // `checked_shr` because a shift by 64, for one shard, would overflow.
    ShardId(u32::try_from(hash.checked_shr(64 - bits).unwrap_or(0)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ComponentId;

    fn worker(name: &str) -> WorkerId {
        WorkerId {
            component: ComponentId(uuid::Uuid::from_u128(7)),
            name: name.parse().expect("valid"),
        }
    }

    #[test]
    fn one_shard_takes_all() {
        assert_eq!(shard_of(&worker("a"), 1), ShardId(0));
    }

    #[test]
    fn workers_spread_evenly() {
        let mut counts = [0u32; 16];
        for number in 0..16_000 {
            counts[shard_of(&worker(&format!("w{number}")), 16).0 as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_hash_is_part_of_the_format() {
        let shards: Vec<u32> = ["a", "b", "c1", "worker-4711"]
            .iter()
            .map(|name| shard_of(&worker(name), 4096).0)
            .collect();
        assert_eq!(shards, EXPECTED);
    }

    const EXPECTED: [u32; 4] = [103, 3923, 1056, 3375];
}
