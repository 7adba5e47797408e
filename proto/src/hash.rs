//! Which shard a worker, a key or a blob belongs to.

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
    upper_bits(hash, shard_count)
}

/// The shard of a key in a bucket of an application.
#[must_use]
pub fn shard_of_key(application: &str, bucket: &str, key: &str, shard_count: u32) -> ShardId {
    let application = xxh3_64_with_seed(application.as_bytes(), KEY_SEED);
    let bucket = xxh3_64_with_seed(bucket.as_bytes(), application);
    upper_bits(xxh3_64_with_seed(key.as_bytes(), bucket), shard_count)
}

/// The shard of an application's blob directory. All of it is in one place, so that objects move from container to
/// container at once and quotas are exact; the contents are spread over all shards.
#[must_use]
pub fn shard_of_directory(application: &str, shard_count: u32) -> ShardId {
    upper_bits(
        xxh3_64_with_seed(application.as_bytes(), DIRECTORY_SEED),
        shard_count,
    )
}

/// The shard of a stripe of a content: of [`STRIPE_CHUNKS`] chunks that follow each other.
#[must_use]
pub fn shard_of_chunk(content_id: &[u8], chunk: u32, shard_count: u32) -> ShardId {
    let seed = CONTENT_SEED.wrapping_add(u64::from(chunk / STRIPE_CHUNKS));
    upper_bits(xxh3_64_with_seed(content_id, seed), shard_count)
}

/// Bytes of each chunk of a content but the last. Part of the storage format.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Chunks that are stored in one shard, one after the other, before the next shard's turn.
pub const STRIPE_CHUNKS: u32 = 64;

const KEY_SEED: u64 = 1;
const DIRECTORY_SEED: u64 = 2;
const CONTENT_SEED: u64 = 1 << 32;

fn upper_bits(hash: u64, shard_count: u32) -> ShardId {
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

    #[test]
    fn keys_and_chunks_spread_evenly() {
        let mut keys = [0u32; 16];
        let mut chunks = [0u32; 16];
        for number in 0..16_000_u32 {
            keys[shard_of_key("default", "b", &format!("k{number}"), 16).0 as usize] += 1;
            chunks[shard_of_chunk(b"0123456789abcdef", number * STRIPE_CHUNKS, 16).0 as usize] += 1;
        }
        let is_even = |counts: &[u32]| counts.iter().all(|count| (800..1200).contains(count));
        assert!(is_even(&keys) && is_even(&chunks), "{keys:?} {chunks:?}");
        assert_eq!(
            shard_of_chunk(b"c", 0, 4096),
            shard_of_chunk(b"c", STRIPE_CHUNKS - 1, 4096)
        );
    }

    const EXPECTED: [u32; 4] = [103, 3923, 1056, 3375];
}
