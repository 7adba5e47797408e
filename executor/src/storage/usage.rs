//! What applications have stored.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt};
use kiln_proto::{
    Error,
    ids::ShardId,
    v1::{self, KeyUsage, read_storage_request::Read},
};
use kiln_store::Shard;

use super::Storage;

/// What was counted is used for so long at most.
const AGE_MAX: Duration = Duration::from_secs(2);
/// A node counts anew before it writes more than this part of what was left of the quota, so that nodes that write at the
/// same time come to the end of a quota in ever smaller steps.
const PART_OF_THE_REST: u64 = 8;
/// Shards asked at the same time.
const CONCURRENCY: usize = 16;

/// The keys of applications as they were counted last, for those that have a quota.
#[derive(Default)]
pub(super) struct Usages {
    known: tokio::sync::Mutex<HashMap<String, Counted>>,
}

/// What an application had, and what this node may have added since.
struct Counted {
    at: Instant,
    used: KeyUsage,
    since: KeyUsage,
}

impl Counted {
    /// What is left of a quota, of which 0 is none.
    fn room(&self, quota: KeyUsage) -> KeyUsage {
        let left = |quota: u64, used: u64, since: u64| match quota {
            0 => u64::MAX,
            quota => quota.saturating_sub(used).saturating_sub(since),
        };
        KeyUsage {
            keys: left(quota.keys, self.used.keys, self.since.keys),
            bytes: left(quota.bytes, self.used.bytes, self.since.bytes),
        }
    }

    fn is_enough_for(&self, quota: KeyUsage, wanted: KeyUsage) -> bool {
        let room = self.room(quota);
        wanted.keys <= room.keys / PART_OF_THE_REST && wanted.bytes <= room.bytes / PART_OF_THE_REST
    }
}

impl Storage {
    /// What all applications have stored, by name.
    pub(crate) async fn usage(&self) -> Result<Vec<v1::ApplicationUsage>, Error> {
        let mut totals: BTreeMap<String, v1::ApplicationUsage> = BTreeMap::new();
        let mut parts = futures::stream::iter(0..self.shard_count()?)
            .map(|shard| self.read(ShardId(shard), "", Read::Usage(v1::UsageRead {})))
            .buffer_unordered(CONCURRENCY);
        while let Some(part) = parts.try_next().await? {
            for usage in part.usages {
                add(&mut totals, usage);
            }
        }
        Ok(totals.into_values().collect())
    }

    /// What an application may add to its keys, for a write that adds `wanted` at most; `None` without a quota.
    ///
    /// One node alone holds a quota exactly, but for writes that are under way at the same time.
    pub(super) async fn key_room(
        &self,
        application: &str,
        wanted: KeyUsage,
    ) -> Result<Option<KeyUsage>, Error> {
        let quota = KeyUsage {
            keys: self.limits.keys_per_application,
            bytes: self.limits.key_bytes_per_application,
        };
        if quota == KeyUsage::default() {
            return Ok(None);
        }
        let mut known = self.usages.known.lock().await;
        known.retain(|_, counted| counted.at.elapsed() < AGE_MAX);
        let is_known = known
            .get(application)
            .is_some_and(|counted| counted.is_enough_for(quota, wanted));
        if !is_known {
            let counted = Counted {
                at: Instant::now(),
                used: self.keys_of(application).await?,
                since: KeyUsage::default(),
            };
            known.insert(application.to_owned(), counted);
        }
        Ok(known.get_mut(application).map(|counted| {
            let room = counted.room(quota);
            counted.since.keys += wanted.keys;
            counted.since.bytes += wanted.bytes;
            room
        }))
    }

    async fn keys_of(&self, application: &str) -> Result<KeyUsage, Error> {
        let usages = self.usage().await?;
        let used = usages.into_iter().find(|usage| usage.application == application);
        Ok(used.map_or_else(KeyUsage::default, |used| KeyUsage {
            keys: used.keys,
            bytes: used.key_bytes,
        }))
    }
}

fn add(totals: &mut BTreeMap<String, v1::ApplicationUsage>, part: v1::ApplicationUsage) {
    let total = totals.entry(part.application.clone()).or_default();
    total.application = part.application;
    total.keys += part.keys;
    total.key_bytes += part.key_bytes;
    total.containers += part.containers;
    total.objects += part.objects;
    total.object_bytes += part.object_bytes;
}

/// What applications have in one shard.
pub(super) fn of_shard(shard: &Shard) -> Result<Vec<v1::ApplicationUsage>, Error> {
    let mut totals = BTreeMap::new();
    for (application, used) in shard.key_usages()? {
        let part = v1::ApplicationUsage {
            application,
            keys: used.keys,
            key_bytes: used.bytes,
            ..Default::default()
        };
        add(&mut totals, part);
    }
    for (application, used) in shard.blob_usages()? {
        let part = v1::ApplicationUsage {
            application,
            containers: used.containers,
            objects: used.objects,
            object_bytes: used.bytes,
            ..Default::default()
        };
        add(&mut totals, part);
    }
    Ok(totals.into_values().collect())
}
