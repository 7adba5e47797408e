//! What the host asks of the cluster's storage: keys and blobs of an application.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use kiln_proto::{
    Error,
    v1::{
        BlobContainer, BlobObject, KeyChange, NamedObject, StorageReply, StorageWriter, change_blobs,
        combine_key::Combination,
    },
};

/// The bytes of an object on their way in, in pieces of any size.
pub type Content<'a> = BoxStream<'a, Result<Bytes, Error>>;

/// Keys and blobs of the cluster's applications.
///
/// A write with a [`StorageWriter`] is applied once, however often it is repeated. A worker's reads see its own writes.
///
/// Errors are [`Error`]s of the wire: a retryable one or `DEADLINE_EXCEEDED` says nothing about whether a write was or will
/// be applied; all others say what a guest did wrong.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// The values of keys, in their order.
    async fn get_keys(
        &self,
        application: &str,
        bucket: &str,
        keys: &[String],
    ) -> Result<Vec<Option<Bytes>>, Error>;

    /// All keys of a bucket, in no order.
    async fn list_keys(&self, application: &str, bucket: &str) -> Result<Vec<String>, Error>;

    /// Sets and deletes keys.
    async fn write_keys(
        &self,
        application: &str,
        bucket: &str,
        changes: Vec<KeyChange>,
        writer: Option<StorageWriter>,
    ) -> Result<(), Error>;

    /// Changes a number.
    async fn combine_key(
        &self,
        application: &str,
        bucket: &str,
        key: &str,
        combination: Combination,
        writer: Option<StorageWriter>,
    ) -> Result<StorageReply, Error>;

    /// Changes an application's blob directory.
    async fn change_blobs(
        &self,
        application: &str,
        change: change_blobs::Change,
        writer: Option<StorageWriter>,
    ) -> Result<StorageReply, Error>;

    /// A container, if it exists.
    async fn container(&self, application: &str, container: &str) -> Result<Option<BlobContainer>, Error>;

    /// An object, if it exists.
    async fn object(
        &self,
        application: &str,
        container: &str,
        object: &str,
    ) -> Result<Option<BlobObject>, Error>;

    /// Up to `limit` objects of a container, by name, after `after`.
    async fn list_objects(
        &self,
        application: &str,
        container: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<NamedObject>, Error>;

    /// Stores an object in place of what had its name before: all of it at once for readers, when its last byte is there.
    async fn put_object(
        &self,
        target: ObjectName<'_>,
        content_id: Bytes,
        content: Content<'_>,
        writer: Option<StorageWriter>,
    ) -> Result<(), Error>;

    /// A part of a chunk of a content, `to` exclusive.
    async fn chunk(&self, content_id: &Bytes, chunk: u32, from: u32, to: u32) -> Result<Bytes, Error>;

    /// What guests are held to.
    fn limits(&self) -> &StorageLimits;
}

/// An object of an application.
#[derive(Debug, Clone, Copy)]
pub struct ObjectName<'a> {
    /// Whose.
    pub application: &'a str,
    /// In which container.
    pub container: &'a str,
    /// Its name there.
    pub object: &'a str,
}

/// Named bounds of what applications store. A quota of 0 is none.
#[derive(Debug, Clone)]
pub struct StorageLimits {
    /// Longest name of a key, bucket, container or object, in bytes.
    pub name_bytes_max: usize,
    /// Largest value of a key.
    pub value_bytes_max: usize,
    /// Keys and values that one call reads or writes, in bytes.
    pub batch_bytes_max: usize,
    /// Keys that one call lists.
    pub listed_keys_max: usize,
    /// Largest object.
    pub object_bytes_max: u64,
    /// What a guest reads of an object is recorded in its oplog up to this size; above, the oplog names the content.
    pub recorded_bytes_max: usize,
    /// Keys of one application. Several nodes that write at the same moment can exceed it a little.
    pub keys_per_application: u64,
    /// Bytes of keys and values of one application. Checked like their number.
    pub key_bytes_per_application: u64,
    /// Objects of one application.
    pub objects_per_application: u64,
    /// Bytes of objects of one application.
    pub object_bytes_per_application: u64,
    /// How long replaced or deleted content stays readable for those who are reading it.
    pub garbage_delay: std::time::Duration,
    /// An upload that does not get on for so long is given up.
    pub upload_patience: std::time::Duration,
    /// How often what is not needed any more is looked for.
    pub collect_interval: std::time::Duration,
    /// How long a guest's call waits for a shard that does not answer.
    pub call_timeout: std::time::Duration,
}

impl Default for StorageLimits {
    fn default() -> Self {
        use std::time::Duration;
        Self {
            name_bytes_max: 1024,
            value_bytes_max: 1 << 20,
            batch_bytes_max: 4 << 20,
            listed_keys_max: 100_000,
            object_bytes_max: 5 << 30,
            recorded_bytes_max: 64 << 10,
            keys_per_application: 0,
            key_bytes_per_application: 0,
            objects_per_application: 0,
            object_bytes_per_application: 0,
            garbage_delay: Duration::from_secs(600),
            upload_patience: Duration::from_secs(3600),
            collect_interval: Duration::from_secs(5),
            call_timeout: Duration::from_secs(30),
        }
    }
}

/// No storage at all: a component that is run by itself, as tests of the host do.
#[derive(Debug, Clone, Default)]
pub struct NoStorage {
    limits: StorageLimits,
}

fn refuse<T>() -> Result<T, Error> {
    Err(Error::conflict("the worker runs outside of a cluster"))
}

#[async_trait]
impl Storage for NoStorage {
    async fn get_keys(&self, _: &str, _: &str, _: &[String]) -> Result<Vec<Option<Bytes>>, Error> {
        refuse()
    }

    async fn list_keys(&self, _: &str, _: &str) -> Result<Vec<String>, Error> {
        refuse()
    }

    async fn write_keys(
        &self,
        _: &str,
        _: &str,
        _: Vec<KeyChange>,
        _: Option<StorageWriter>,
    ) -> Result<(), Error> {
        refuse()
    }

    async fn combine_key(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: Combination,
        _: Option<StorageWriter>,
    ) -> Result<StorageReply, Error> {
        refuse()
    }

    async fn change_blobs(
        &self,
        _: &str,
        _: change_blobs::Change,
        _: Option<StorageWriter>,
    ) -> Result<StorageReply, Error> {
        refuse()
    }

    async fn container(&self, _: &str, _: &str) -> Result<Option<BlobContainer>, Error> {
        refuse()
    }

    async fn object(&self, _: &str, _: &str, _: &str) -> Result<Option<BlobObject>, Error> {
        refuse()
    }

    async fn list_objects(
        &self,
        _: &str,
        _: &str,
        _: Option<&str>,
        _: u32,
    ) -> Result<Vec<NamedObject>, Error> {
        refuse()
    }

    async fn put_object(
        &self,
        _: ObjectName<'_>,
        _: Bytes,
        _: Content<'_>,
        _: Option<StorageWriter>,
    ) -> Result<(), Error> {
        refuse()
    }

    async fn chunk(&self, _: &Bytes, _: u32, _: u32, _: u32) -> Result<Bytes, Error> {
        refuse()
    }

    fn limits(&self) -> &StorageLimits {
        &self.limits
    }
}
