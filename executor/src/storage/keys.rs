use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use kiln_proto::{
    Error,
    convert::now_ns,
    hash::shard_of_key,
    ids::ShardId,
    v1::{self, combine_key::Combination, read_storage_request::Read, shard_operation::Operation},
};

use super::{Storage, check};

/// Shards asked at the same time for one caller.
const CONCURRENCY: usize = 16;
/// Names on one page from a shard.
const PAGE: u32 = 1000;
/// Digits of the largest number.
const NUMBER_BYTES_MAX: usize = 20;

impl Storage {
    pub(super) async fn get(
        &self,
        application: &str,
        bucket: &str,
        keys: &[String],
    ) -> Result<Vec<Option<Bytes>>, Error> {
        for key in keys {
            check::name(&self.limits, "key", key)?;
        }
        let shards = self.shard_count()?;
        let mut places: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            let shard = shard_of_key(application, bucket, key, shards);
            places.entry(shard).or_default().push(place);
        }
        let mut values = vec![None; keys.len()];
        let mut reads = futures::stream::iter(places)
            .map(|(shard, places)| async move {
                let read = Read::Keys(v1::KeysRead {
                    bucket: bucket.to_owned(),
                    keys: places.iter().map(|place| keys[*place].clone()).collect(),
                });
                let found = self.read(shard, application, read).await?;
                Ok::<_, Error>((places, found.keys))
            })
            .buffer_unordered(CONCURRENCY);
        let mut bytes = 0;
        while let Some((places, found)) = reads.try_next().await? {
            for (place, found) in places.into_iter().zip(found) {
                bytes += found.value.as_ref().map_or(0, Bytes::len);
                values[place] = found.value;
            }
            check::batch(&self.limits, bytes)?;
        }
        Ok(values)
    }

    /// One page of one shard after the other. What is gathered is bounded.
    pub(super) async fn all_keys(&self, application: &str, bucket: &str) -> Result<Vec<String>, Error> {
        let mut keys: Vec<String> = Vec::new();
        let mut bytes = 0;
        for shard in 0..self.shard_count()? {
            let mut after = None;
            loop {
                let page = self.key_page(shard, application, bucket, after, PAGE).await?;
                bytes += page.iter().map(String::len).sum::<usize>();
                let is_last = page.len() < PAGE as usize;
                after = page.last().cloned();
                keys.extend(page);
                if keys.len() > self.limits.listed_keys_max {
                    return Err(Error::limit_exceeded(format!(
                        "the bucket has more than {} keys, too many for one list",
                        self.limits.listed_keys_max
                    )));
                }
                check::batch(&self.limits, bytes)?;
                if is_last {
                    break;
                }
            }
        }
        Ok(keys)
    }

    pub(super) async fn key_page(
        &self,
        shard: u32,
        application: &str,
        bucket: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        let bucket = bucket.to_owned();
        let read = Read::KeyPage(v1::KeyPageRead { bucket, after, limit });
        Ok(self.read(ShardId(shard), application, read).await?.names)
    }

    pub(super) async fn write_changes(
        &self,
        application: &str,
        bucket: &str,
        changes: Vec<v1::KeyChange>,
        writer: Option<v1::StorageWriter>,
    ) -> Result<(), Error> {
        check::changes(&self.limits, &changes)?;
        let mut room = self.key_room(application, at_most(&changes)).await?;
        let shards = self.shard_count()?;
        let mut by_shard: BTreeMap<ShardId, Vec<v1::KeyChange>> = BTreeMap::new();
        for change in changes {
            let shard = shard_of_key(application, bucket, &change.key, shards);
            by_shard.entry(shard).or_default().push(change);
        }
        let writes = by_shard.into_iter().map(|(shard, changes)| {
            let added = at_most(&changes);
            let write = v1::WriteKeys {
                writer: writer.clone(),
                application: application.to_owned(),
                bucket: bucket.to_owned(),
                at_ns: now_ns(),
                changes,
                room,
            };
            // What one shard may add, the next one may not add once more.
            if let Some(room) = &mut room {
                room.keys = room.keys.saturating_sub(added.keys);
                room.bytes = room.bytes.saturating_sub(added.bytes);
            }
            self.write(shard, Operation::WriteKeys(write))
        });
        let writes: Vec<_> = writes.collect();
        // All are tried, although one may fail: the caller repeats the whole, and what was applied stays.
        let done: Vec<Result<v1::StorageReply, Error>> = futures::stream::iter(writes)
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        done.into_iter().try_for_each(|done| done.map(|_| ()))
    }

    pub(super) async fn combine(
        &self,
        application: &str,
        bucket: &str,
        key: &str,
        combination: Combination,
        writer: Option<v1::StorageWriter>,
    ) -> Result<v1::StorageReply, Error> {
        check::name(&self.limits, "key", key)?;
        let number = v1::KeyUsage {
            keys: 1,
            bytes: (key.len() + NUMBER_BYTES_MAX) as u64,
        };
        let room = self.key_room(application, number).await?;
        let shard = shard_of_key(application, bucket, key, self.shard_count()?);
        let combine = v1::CombineKey {
            writer,
            application: application.to_owned(),
            bucket: bucket.to_owned(),
            at_ns: now_ns(),
            key: key.to_owned(),
            combination: Some(combination),
            room,
        };
        self.write(shard, Operation::CombineKey(combine)).await
    }

    /// A page of a bucket, shard after shard.
    pub(crate) async fn list_page(
        &self,
        request: v1::ListKeysRequest,
    ) -> Result<v1::ListKeysResponse, Error> {
        let application = match request.application.as_str() {
            "" => "default",
            name => name,
        };
        let limit = if request.limit == 0 {
            PAGE
        } else {
            request.limit.min(PAGE)
        };
        let shards = self.shard_count()?;
        let (mut shard, mut after) = decode(&request.cursor)?;
        let mut keys: Vec<String> = Vec::new();
        while shard < shards && keys.len() < limit as usize {
            let wanted = limit - u32::try_from(keys.len()).unwrap_or(limit);
            let page = self
                .key_page(shard, application, &request.bucket, after.take(), wanted)
                .await?;
            if page.len() == wanted as usize {
                after = page.last().cloned();
            } else {
                shard += 1;
            }
            keys.extend(page);
        }
        let cursor = match (shard < shards, after) {
            (false, _) => String::new(),
            (true, Some(after)) => format!("{shard}:{after}"),
            (true, None) => shard.to_string(),
        };
        Ok(v1::ListKeysResponse { keys, cursor })
    }

    /// All buckets that have keys.
    pub(crate) async fn list_buckets(&self, application: &str) -> Result<Vec<String>, Error> {
        let mut reads = futures::stream::iter(0..self.shard_count()?)
            .map(|shard| {
                let first = v1::PageRead {
                    after: None,
                    limit: PAGE,
                };
                self.read(ShardId(shard), application, Read::BucketPage(first))
            })
            .buffer_unordered(CONCURRENCY);
        let mut buckets = BTreeSet::new();
        while let Some(page) = reads.try_next().await? {
            buckets.extend(page.names.into_iter().filter(|name| name != check::CACHE_BUCKET));
        }
        Ok(buckets.into_iter().collect())
    }
}

/// What changes add to an application's keys if none of them was there.
fn at_most(changes: &[v1::KeyChange]) -> v1::KeyUsage {
    let mut sum = v1::KeyUsage::default();
    for change in changes {
        if let Some(value) = &change.value {
            sum.keys += 1;
            sum.bytes += (change.key.len() + value.len()) as u64;
        }
    }
    sum
}

/// Where a page begins: the shard, and the last key of it that was listed.
fn decode(cursor: &str) -> Result<(u32, Option<String>), Error> {
    if cursor.is_empty() {
        return Ok((0, None));
    }
    let (shard, after) = match cursor.split_once(':') {
        Some((shard, after)) => (shard, Some(after.to_owned())),
        None => (cursor, None),
    };
    let shard = shard
        .parse()
        .map_err(|_| Error::invalid("the cursor is not one of this list"))?;
    Ok((shard, after))
}
