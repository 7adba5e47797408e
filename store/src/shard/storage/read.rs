//! Reads of keys and blobs. After [`Shard::barrier`] on the owner they are linearizable.

use bytes::Bytes;
use kiln_proto::v1::{
    BlobContainer, BlobContent, BlobObject, BlobUsage, KeyUsage, StorageReply, StorageWriter, WriterRow,
    shard_operation::Operation,
};

use super::{
    super::{Shard, keys::number_at, record},
    chunks, kv, rows,
};
use crate::{Error, Table, engine::after_prefix};

/// A named object.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredObject {
    /// Its name.
    pub name: String,
    /// Its content.
    pub object: BlobObject,
}

/// Content that may be removed.
#[derive(Debug, Clone, PartialEq)]
pub struct DueGarbage {
    /// Which.
    pub content_id: Bytes,
    /// Since when.
    pub due_ns: u64,
    /// What is known of it.
    pub content: BlobContent,
    /// Some of its readers.
    pub readers: Vec<Bytes>,
}

impl Shard {
    /// Applies an operation on keys or blobs.
    ///
    /// # Errors
    /// `NotLeader`; `Unavailable` when it is not known whether it was or will be applied: the same again, by the same
    /// writer, is applied once. `Invalid` for an operation of another kind.
    pub async fn write_storage(&self, operation: Operation) -> Result<StorageReply, Error> {
        self.propose_storage(operation).await
    }

    /// The value of a key, unless it has expired at `now_ns`.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn key(
        &self,
        application: &str,
        bucket: &str,
        key: &str,
        now_ns: u64,
    ) -> Result<Option<Bytes>, Error> {
        let reader = self.group().reader();
        let Some(row) = reader.get(Table::Kv, &rows::key(application, bucket, key))? else {
            return Ok(None);
        };
        let row = kv::decode(&row)?;
        Ok(kv::is_alive(&row, now_ns).then_some(row.value))
    }

    /// Up to `limit` keys of a bucket in this shard, in order, after `after`.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn keys(
        &self,
        application: &str,
        bucket: &str,
        after: Option<&str>,
        limit: usize,
        now_ns: u64,
    ) -> Result<Vec<String>, Error> {
        let prefix = rows::keys_of_bucket(application, bucket);
        let mut keys = Vec::new();
        let mut failure = None;
        let from = after_key(&prefix, after);
        self.group()
            .reader()
            .visit(Table::Kv, &from, &after_prefix(&prefix), |key, row| {
                let read = kv::decode(&Bytes::copy_from_slice(row))
                    .and_then(|row| Ok((kv::is_alive(&row, now_ns), text(&key[prefix.len()..])?)));
                match read {
                    Ok((true, key)) => keys.push(key),
                    Ok((false, _)) => {}
                    Err(error) => failure = Some(error),
                }
                failure.is_none() && keys.len() < limit
            })?;
        failure.map_or(Ok(keys), Err)
    }

    /// Up to `limit` buckets that have keys in this shard, after `after`.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn buckets(
        &self,
        application: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let reader = self.group().reader();
        let prefix = rows::keys_of_application(application);
        let end = after_prefix(&prefix);
        let behind = |bucket: &str| after_prefix(&rows::keys_of_bucket(application, bucket));
        let mut from = after.map_or_else(|| prefix.clone(), behind);
        let mut buckets = Vec::new();
        while buckets.len() < limit {
            // One row of each bucket is enough to know its name; the next look begins behind all its keys.
            let Some((key, _)) = reader.scan(Table::Kv, &from, &end, 1)?.pop() else {
                break;
            };
            let bucket = rows::leading_name(&key[prefix.len()..])?.to_owned();
            from = behind(&bucket);
            buckets.push(bucket);
        }
        Ok(buckets)
    }

    /// A container, if it exists.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn container(&self, application: &str, name: &str) -> Result<Option<BlobContainer>, Error> {
        let row = self
            .group()
            .reader()
            .get(Table::Blob, &rows::container(application, name))?;
        row.map(|row| record::decode("a container", &row)).transpose()
    }

    /// Up to `limit` containers of an application, by name, after `after`.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn containers(
        &self,
        application: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, BlobContainer)>, Error> {
        let prefix = rows::containers(application);
        let found = self.page(&prefix, after, limit)?;
        let container = |(name, row)| Ok((name, record::decode("a container", &row)?));
        found.into_iter().map(container).collect()
    }

    /// An object of a container.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn object(&self, container: &BlobContainer, name: &str) -> Result<Option<BlobObject>, Error> {
        let key = rows::object(container.number, name);
        let row = self.group().reader().get(Table::Blob, &key)?;
        row.map(|row| record::decode("an object", &row)).transpose()
    }

    /// Up to `limit` objects of a container, by name, after `after`.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn objects(
        &self,
        container: &BlobContainer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, Error> {
        let found = self.page(&rows::objects(container.number), after, limit)?;
        let object = |(name, row)| {
            let object = record::decode("an object", &row)?;
            Ok(StoredObject { name, object })
        };
        found.into_iter().map(object).collect()
    }

    fn page(&self, prefix: &[u8], after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>, Error> {
        let from = after_key(prefix, after);
        let rows = self
            .group()
            .reader()
            .scan(Table::Blob, &from, &after_prefix(prefix), limit)?;
        let named = |(key, row): (Bytes, Bytes)| Ok((text(&key[prefix.len()..])?, row));
        rows.into_iter().map(named).collect()
    }

    /// The bytes of a chunk, checked.
    ///
    /// # Errors
    /// `NotFound` when it was removed; `Corrupt`, or when the engine cannot read.
    pub fn chunk(&self, content_id: &[u8], chunk: u32) -> Result<Bytes, Error> {
        let row = self
            .group()
            .reader()
            .get(Table::Blob, &rows::chunk(content_id, chunk))?;
        chunks::decode(&row.ok_or_else(|| Error::NotFound(format!("chunk {chunk} of the blob")))?)
    }

    /// What each application has in this shard.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn key_usages(&self) -> Result<Vec<(String, KeyUsage)>, Error> {
        self.usages(Table::Kv, rows::KEY_USAGES)
    }

    /// What each application whose blob directory is in this shard has.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn blob_usages(&self) -> Result<Vec<(String, BlobUsage)>, Error> {
        self.usages(Table::Blob, rows::BLOB_USAGES)
    }

    fn usages<M: prost::Message + Default>(
        &self,
        table: Table,
        prefix: &[u8],
    ) -> Result<Vec<(String, M)>, Error> {
        let rows = self.group().reader().scan_prefix(table, prefix)?;
        let usage = |(key, row): (Bytes, Bytes)| {
            let usage = record::decode("an application's use of storage", &row)?;
            Ok((text(&key[prefix.len()..])?, usage))
        };
        rows.into_iter().map(usage).collect()
    }

    /// Up to `limit` contents that are due for the collector at `now_ns`, with up to `limit` readers of each.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn due_garbage(&self, now_ns: u64, limit: usize) -> Result<Vec<DueGarbage>, Error> {
        let reader = self.group().reader();
        let end = rows::garbage(now_ns, &[]);
        let mut due = Vec::new();
        for (key, _) in reader.scan(Table::Blob, rows::GARBAGE_QUEUE, &end, limit)? {
            let (due_ns, content_id) = rows::due(&key)?;
            let Some(row) = reader.get(Table::Blob, &rows::content(content_id))? else {
                continue;
            };
            let pins = rows::pins(content_id);
            let readers = reader.scan(Table::Blob, &pins, &after_prefix(&pins), limit)?;
            due.push(DueGarbage {
                content_id: Bytes::copy_from_slice(content_id),
                due_ns,
                content: record::decode("a content", &row)?,
                readers: readers
                    .into_iter()
                    .map(|(key, _)| key.slice(pins.len()..))
                    .collect(),
            });
        }
        Ok(due)
    }

    /// Containers that are gone and whose objects are not swept yet, with the application of each.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn dead_containers(&self, limit: usize) -> Result<Vec<(u64, String)>, Error> {
        let end = after_prefix(rows::DEAD_CONTAINERS);
        let rows = self
            .group()
            .reader()
            .scan(Table::Blob, rows::DEAD_CONTAINERS, &end, limit)?;
        let malformed = || Error::Corrupt("the row of a container that is gone is malformed".into());
        let dead = |(key, row): (Bytes, Bytes)| Ok((number_at(&key, 1).ok_or_else(malformed)?, text(&row)?));
        rows.into_iter().map(dead).collect()
    }

    /// Up to `limit` workers that have written to this shard, after `after`, each with its last write.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read.
    pub fn writers(&self, after: &[u8], limit: usize) -> Result<Vec<StorageWriter>, Error> {
        let from = [&rows::writer(after)[..], &[0]].concat();
        let found = self
            .group()
            .reader()
            .scan(Table::Kv, &from, &after_prefix(rows::WRITERS), limit)?;
        let mut writers = Vec::new();
        for (_, row) in found {
            let row: WriterRow = record::decode("a writer's row", &row)?;
            writers.extend(row.last);
        }
        Ok(writers)
    }
}

/// Where a page begins: at the prefix, or at the smallest key after `after`.
fn after_key(prefix: &[u8], after: Option<&str>) -> Vec<u8> {
    match after {
        Some(after) => [prefix, after.as_bytes(), &[0]].concat(),
        None => prefix.to_vec(),
    }
}

fn text(bytes: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::Corrupt("a stored name is no text".into()))?;
    Ok(text.to_owned())
}
