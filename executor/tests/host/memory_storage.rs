use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use kiln_executor::host::{Content, ObjectName, Storage, StorageLimits};
use kiln_proto::{
    Error,
    hash::CHUNK_BYTES,
    v1::{
        BlobContainer, BlobObject, KeyChange, NamedObject, StorageReply, StorageWriter, change_blobs::Change,
        combine_key::Combination,
    },
};
use parking_lot::Mutex;

/// Keys and blobs in maps, each write applied once.
#[derive(Default)]
pub(crate) struct MemoryStorage {
    inner: Mutex<Inner>,
    limits: StorageLimits,
    /// Calls that find no shard, before others find one again.
    pub(crate) outages: AtomicU32,
}

#[derive(Default, Clone)]
struct Inner {
    keys: BTreeMap<(String, String), (Bytes, u64)>,
    containers: BTreeMap<String, BTreeMap<String, BlobObject>>,
    contents: HashMap<Bytes, Bytes>,
    /// The last write of each writer.
    last: HashMap<Bytes, (u64, Result<StorageReply, Error>)>,
    applied: u64,
}

impl MemoryStorage {
    /// What is stored now, in a storage of its own.
    pub(crate) fn as_it_is(&self) -> Self {
        Self {
            inner: Mutex::new(self.inner.lock().clone()),
            limits: self.limits.clone(),
            outages: AtomicU32::default(),
        }
    }

    fn find_shard(&self) -> Result<(), Error> {
        let less = |outages: u32| outages.checked_sub(1);
        match self
            .outages
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        {
            Ok(_) => Err(Error::unavailable("the shard has no majority")),
            Err(_) => Ok(()),
        }
    }

    /// Number of writes that have changed something or could have.
    pub(crate) fn applied(&self) -> u64 {
        self.inner.lock().applied
    }

    fn once(
        &self,
        writer: Option<StorageWriter>,
        apply: impl FnOnce(&mut Inner) -> Result<StorageReply, Error>,
    ) -> Result<StorageReply, Error> {
        let mut inner = self.inner.lock();
        let Some(writer) = writer else {
            return apply(&mut inner);
        };
        match inner.last.get(&writer.writer) {
            Some((position, reply)) if *position == writer.position => return reply.clone(),
            Some((position, _)) => assert!(*position < writer.position, "writes come in order"),
            None => {}
        }
        inner.applied += 1;
        let reply = apply(&mut inner);
        inner.last.insert(writer.writer, (writer.position, reply.clone()));
        reply
    }
}

impl Inner {
    fn value(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let (value, expires_at_ns) = self.keys.get(&(bucket.to_owned(), key.to_owned()))?;
        let is_alive = *expires_at_ns == 0 || *expires_at_ns > kiln_proto::convert::now_ns();
        is_alive.then(|| value.clone())
    }

    fn objects(&mut self, container: &str) -> Result<&mut BTreeMap<String, BlobObject>, Error> {
        let found = self.containers.get_mut(container);
        found.ok_or_else(|| Error::not_found(format!("container \"{container}\" does not exist")))
    }

    fn change(&mut self, change: Change) -> Result<StorageReply, Error> {
        let mut reply = StorageReply::default();
        match change {
            Change::CreateContainer(name) => {
                self.containers.entry(name).or_default();
                reply.container = Some(container());
            }
            Change::DeleteContainer(name) => {
                self.objects(&name)?;
                self.containers.remove(&name);
            }
            Change::ClearContainer(name) => self.objects(&name)?.clear(),
            Change::DeleteObjects(delete) => {
                let objects = self.objects(&delete.container)?;
                objects.retain(|name, _| !delete.objects.contains(name));
            }
            Change::CopyObject(copy) => {
                let found = self.objects(&copy.container)?.get(&copy.object).cloned();
                let object = found.ok_or_else(|| Error::not_found("the object does not exist"))?;
                self.objects(&copy.to_container)?.insert(copy.to_object, object);
                if copy.is_move {
                    self.objects(&copy.container)?.remove(&copy.object);
                }
            }
            Change::PinObject(pin) => reply.object = self.objects(&pin.container)?.get(&pin.object).cloned(),
            other => panic!("guests do not ask for {other:?}"),
        }
        Ok(reply)
    }
}

fn container() -> BlobContainer {
    BlobContainer {
        created_at_ns: 7_000_000,
        ..BlobContainer::default()
    }
}

fn check(limits: &StorageLimits, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > limits.name_bytes_max {
        return Err(Error::invalid("no such name"));
    }
    Ok(())
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn get_keys(&self, _: &str, bucket: &str, keys: &[String]) -> Result<Vec<Option<Bytes>>, Error> {
        self.find_shard()?;
        let inner = self.inner.lock();
        Ok(keys.iter().map(|key| inner.value(bucket, key)).collect())
    }

    async fn list_keys(&self, _: &str, bucket: &str) -> Result<Vec<String>, Error> {
        let inner = self.inner.lock();
        let keys = inner.keys.keys().filter(|(of, _)| of == bucket);
        Ok(keys.map(|(_, key)| key.clone()).collect())
    }

    async fn write_keys(
        &self,
        _: &str,
        bucket: &str,
        changes: Vec<KeyChange>,
        writer: Option<StorageWriter>,
    ) -> Result<(), Error> {
        self.find_shard()?;
        for change in &changes {
            check(&self.limits, &change.key)?;
        }
        self.once(writer, |inner| {
            for change in changes {
                let key = (bucket.to_owned(), change.key);
                match change.value {
                    Some(value) => inner.keys.insert(key, (value, change.expires_at_ns)),
                    None => inner.keys.remove(&key),
                };
            }
            Ok(StorageReply::default())
        })?;
        Ok(())
    }

    async fn combine_key(
        &self,
        _: &str,
        bucket: &str,
        key: &str,
        combination: Combination,
        writer: Option<StorageWriter>,
    ) -> Result<StorageReply, Error> {
        self.once(writer, |inner| {
            let text = inner
                .value(bucket, key)
                .map(|value| String::from_utf8_lossy(&value).into_owned());
            let number = text.map(|text| text.parse::<u64>()).transpose();
            let number = number.map_err(|_| Error::invalid("no number"))?;
            let mut reply = StorageReply::default();
            let new = match combination {
                Combination::Increment(delta) => {
                    let sum = number.unwrap_or(0).checked_add(delta);
                    reply.number = sum.ok_or_else(|| Error::invalid("too large"))?;
                    reply.number
                }
                Combination::CompareAndSwap(swap) if number == Some(swap.old) => {
                    reply.swapped = true;
                    swap.new
                }
                Combination::CompareAndSwap(_) => return Ok(reply),
            };
            let key = (bucket.to_owned(), key.to_owned());
            inner.keys.insert(key, (new.to_string().into(), 0));
            Ok(reply)
        })
    }

    async fn change_blobs(
        &self,
        _: &str,
        change: Change,
        writer: Option<StorageWriter>,
    ) -> Result<StorageReply, Error> {
        self.find_shard()?;
        self.once(writer, |inner| inner.change(change))
    }

    async fn container(&self, _: &str, name: &str) -> Result<Option<BlobContainer>, Error> {
        Ok(self.inner.lock().containers.get(name).map(|_| container()))
    }

    async fn object(&self, _: &str, container: &str, object: &str) -> Result<Option<BlobObject>, Error> {
        self.find_shard()?;
        Ok(self.inner.lock().objects(container)?.get(object).cloned())
    }

    async fn list_objects(
        &self,
        _: &str,
        container: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<NamedObject>, Error> {
        let mut inner = self.inner.lock();
        let objects = inner.objects(container)?.iter();
        let rest = objects.filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
        let named = rest.take(limit as usize).map(|(name, object)| NamedObject {
            name: name.clone(),
            object: Some(object.clone()),
        });
        Ok(named.collect())
    }

    async fn put_object(
        &self,
        target: ObjectName<'_>,
        content_id: Bytes,
        mut content: Content<'_>,
        writer: Option<StorageWriter>,
    ) -> Result<(), Error> {
        self.find_shard()?;
        check(&self.limits, target.object)?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = content.next().await {
            bytes.extend_from_slice(&piece?);
        }
        let object = BlobObject {
            content_id: content_id.clone(),
            size: bytes.len() as u64,
            created_at_ns: 8_000_000,
        };
        self.once(writer, |inner| {
            inner
                .objects(target.container)?
                .insert(target.object.to_owned(), object);
            inner.contents.insert(content_id, bytes.freeze());
            Ok(StorageReply::default())
        })?;
        Ok(())
    }

    async fn chunk(&self, content_id: &Bytes, chunk: u32, from: u32, to: u32) -> Result<Bytes, Error> {
        let inner = self.inner.lock();
        let content = inner.contents.get(content_id);
        let content = content.ok_or_else(|| Error::not_found("the content is gone"))?;
        let begin = chunk as usize * CHUNK_BYTES;
        Ok(content.slice(begin + from as usize..(begin + to as usize).min(content.len())))
    }

    fn limits(&self) -> &StorageLimits {
        &self.limits
    }
}
