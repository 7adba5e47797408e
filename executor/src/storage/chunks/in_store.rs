use std::{fmt::Write, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use kiln_proto::Error;
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, aws::AmazonS3Builder, local::LocalFileSystem,
    path::Path,
};
use tokio::sync::Semaphore;

use super::{BlobPlace, Chunks};

/// Chunks that this node writes to the store or reads from it at the same time: what it holds of them in memory.
const UNDER_WAY_MAX: usize = 32;
/// Bytes of the checksum before the data.
const HEADER: usize = 4;

/// Chunks in an object store, each an object: `PREFIX/CONTENT/NUMBER`.
#[derive(Clone)]
pub(crate) struct InStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    slots: Arc<Semaphore>,
    patience: Duration,
}

impl InStore {
    /// Opens the store that is configured, if one is. It is not asked anything yet.
    ///
    /// # Errors
    /// `INVALID` when the folder cannot be made, or the environment makes no sense.
    pub(crate) fn open(place: &BlobPlace, patience: Duration) -> Result<Option<Self>, Error> {
        let (store, prefix): (Arc<dyn ObjectStore>, &str) = match place {
            BlobPlace::Shards => return Ok(None),
            BlobPlace::Folder(folder) => {
                let wrong = |cause: String| unusable(place, &cause);
                std::fs::create_dir_all(folder).map_err(|error| wrong(error.to_string()))?;
                let store = LocalFileSystem::new_with_prefix(folder);
                let store = store.map_err(|error| wrong(error.to_string()))?;
                // What is acknowledged survives a crash, and a content that is removed leaves no folder behind.
                (Arc::new(store.with_fsync(true).with_automatic_cleanup(true)), "")
            }
            BlobPlace::S3 { bucket, prefix } => {
                // Fails when the process has chosen one before, which is as good.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let store = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_retry(RetryConfig {
                        retry_timeout: patience,
                        ..RetryConfig::default()
                    })
                    .build()
                    .map_err(|error| unusable(place, &error.to_string()))?;
                (Arc::new(store), prefix)
            }
        };
        Ok(Some(Self {
            store,
            prefix: Path::from(prefix),
            slots: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            patience,
        }))
    }

    fn path(&self, content_id: &[u8], chunk: u32) -> Path {
        let mut content = String::with_capacity(2 * content_id.len());
        for byte in content_id {
            let _ = write!(content, "{byte:02x}");
        }
        self.prefix.clone().join(content).join(format!("{chunk:06}"))
    }

    /// Waits for a slot and then for the store, as long as a call of a guest may take.
    async fn patiently<T>(
        &self,
        work: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, Error> {
        let with_slot = async {
            // The semaphore is never closed.
            let _slot = self.slots.acquire().await;
            work.await
        };
        match tokio::time::timeout(self.patience, with_slot).await {
            Ok(done) => done.map_err(|error| trouble(&error)),
            Err(_) => Err(Error::unavailable("the object store does not answer")),
        }
    }
}

fn unusable(place: &BlobPlace, cause: &str) -> Error {
    Error::invalid(format!("storage.blobs = \"{place}\" cannot be used: {cause}"))
}

/// All trouble but an object that is missing can pass, if only because an operator mends a policy: the worker's retry policy
/// decides how long that is waited for.
fn trouble(error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { path, .. } => {
            Error::not_found(format!("{path} is not in the object store"))
        }
        error => Error::unavailable(format!("the object store failed: {error}")),
    }
}

#[async_trait]
impl Chunks for InStore {
    async fn put(&self, content_id: &Bytes, chunk: u32, data: Bytes) -> Result<(), Error> {
        let mut header = BytesMut::with_capacity(HEADER);
        header.put_u32_le(crc32c::crc32c(&data));
        let payload: PutPayload = [header.freeze(), data].into_iter().collect();
        self.patiently(self.store.put(&self.path(content_id, chunk), payload))
            .await?;
        Ok(())
    }

    /// The chunk is read whole, since its checksum is that of all of it.
    async fn part(&self, content_id: &Bytes, chunk: u32, from: u32, to: u32) -> Result<Bytes, Error> {
        let path = self.path(content_id, chunk);
        let read = async { self.store.get(&path).await?.bytes().await };
        let data = check(self.patiently(read).await?)
            .ok_or_else(|| Error::corrupt(format!("{path} does not match its checksum")))?;
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let to = to.min(length);
        Ok(data.slice(from.min(to) as usize..to as usize))
    }

    async fn remove(&self, content_id: &Bytes, chunks: Range<u32>) -> Result<(), Error> {
        let paths: Vec<_> = chunks.map(|chunk| Ok(self.path(content_id, chunk))).collect();
        let mut removed = self.store.delete_stream(stream::iter(paths).boxed());
        while let Some(removed) = removed.next().await {
            match removed {
                // It was never stored, or was removed the last time.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(trouble(&error)),
            }
        }
        Ok(())
    }
}

/// What stands behind the checksum, if it matches.
fn check(mut stored: Bytes) -> Option<Bytes> {
    if stored.len() < HEADER {
        return None;
    }
    let checksum = stored.get_u32_le();
    (checksum == crc32c::crc32c(&stored)).then_some(stored)
}
