//! What applications have stored.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt};
use kiln_proto::{
    Error,
    ids::ShardId,
    v1::{self, read_storage_request::Read},
};
use kiln_store::Shard;

use super::Storage;

/// The quota of keys is checked against counts of this age at most.
const AGE_MAX: Duration = Duration::from_secs(2);
/// Shards asked at the same time.
const CONCURRENCY: usize = 16;

/// The counts that were gathered last.
#[derive(Default)]
pub(super) struct Usages {
    known: tokio::sync::Mutex<Option<(Instant, Vec<v1::ApplicationUsage>)>>,
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

    /// Refuses more keys once the application has reached its quota.
    pub(super) async fn check_key_quota(&self, application: &str) -> Result<(), Error> {
        let (keys_max, bytes_max) = (
            self.limits.keys_per_application,
            self.limits.key_bytes_per_application,
        );
        if keys_max == 0 && bytes_max == 0 {
            return Ok(());
        }
        let mut known = self.usages.known.lock().await;
        let usages = match known.take_if(|(at, _)| at.elapsed() < AGE_MAX) {
            Some(fresh) => fresh,
            None => (Instant::now(), self.usage().await?),
        };
        let usages = &known.insert(usages).1;
        let used = usages.iter().find(|usage| usage.application == application);
        let is_full = |used: u64, max: u64| max > 0 && used >= max;
        match used {
            Some(used) if is_full(used.keys, keys_max) || is_full(used.key_bytes, bytes_max) => {
                Err(Error::limit_exceeded(format!(
                    "the quota of keys of application {application} is used up"
                )))
            }
            _ => Ok(()),
        }
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
