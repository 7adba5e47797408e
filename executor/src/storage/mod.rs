//! Keys and blobs of applications, over all shards of the cluster.
//!
//! * [`Storage`] – the way in, for guests and operators: names a shard, goes there, repeats until the deadline
//! * `operation` – one read or write at a shard's owner
//! * `keys`, `objects` – what can be done with keys and with blobs
//! * `upload` – content in chunks, a bounded number at a time
//! * `chunks` – where the chunks are: in the shards, or in an object store
//! * `usage` – what applications have stored
//! * `check` – names, sizes and quotas
//! * `collect` – removes content that nobody needs
//! * `writers` – forgets the writes of workers that are gone

mod check;
mod chunks;
mod collect;
mod keys;
mod objects;
mod operation;
mod upload;
mod usage;
mod writers;

use std::sync::Arc;

use kiln_proto::{
    Error,
    ids::ShardId,
    v1::{self, read_storage_request::Read, shard_operation::Operation, storage_reply::Refusal},
};

use crate::{
    host::StorageLimits,
    route::{Patience, Router},
};

pub(crate) use check::{CACHE_BUCKET, name as check_name};
pub use chunks::BlobPlace;
pub(crate) use chunks::InStore;
pub(crate) use collect::collect;
pub(crate) use operation::{ReadStorage, WriteStorage};

/// The cluster's storage as one thing. Clones share it.
#[derive(Clone)]
pub(crate) struct Storage {
    router: Arc<Router>,
    limits: StorageLimits,
    usages: Arc<usage::Usages>,
    /// Where new contents go, when that is not into the shards.
    store: Option<InStore>,
}

impl Storage {
    pub(crate) fn new(router: Arc<Router>, store: Option<InStore>) -> Self {
        let limits = router.context.limits.storage.clone();
        Self {
            router,
            limits,
            usages: Arc::default(),
            store,
        }
    }

    fn patience(&self) -> Patience {
        Patience::of(Some(self.limits.call_timeout))
    }

    fn shard_count(&self) -> Result<u32, Error> {
        let map = self.router.view.glance();
        if map.is_founded() {
            Ok(map.wire.shard_count)
        } else {
            Err(Error::unavailable("this node has no cluster map yet"))
        }
    }

    /// Applies an operation at a shard's owner.
    async fn write(&self, shard: ShardId, operation: Operation) -> Result<v1::StorageReply, Error> {
        let request = v1::WriteStorageRequest {
            shard: shard.0,
            operation: Some(v1::ShardOperation {
                operation: Some(operation),
            }),
        };
        let write = Arc::new(WriteStorage(request));
        let response = self.router.route(shard, self.patience(), write).await?;
        let reply = response
            .reply
            .ok_or_else(|| Error::internal("a write of storage got no reply"))?;
        judge(reply)
    }

    /// Reads at a shard's owner.
    async fn read(
        &self,
        shard: ShardId,
        application: &str,
        read: Read,
    ) -> Result<v1::ReadStorageResponse, Error> {
        let request = v1::ReadStorageRequest {
            shard: shard.0,
            application: application.to_owned(),
            read: Some(read),
        };
        let read = Arc::new(ReadStorage(request));
        self.router.route(shard, self.patience(), read).await
    }
}

/// A refusal becomes an error.
fn judge(reply: v1::StorageReply) -> Result<v1::StorageReply, Error> {
    Err(match reply.refusal() {
        Refusal::None => return Ok(reply),
        Refusal::Superseded => Error::fenced("a newer write of the same writer was applied before"),
        Refusal::NoContainer => Error::not_found("the container does not exist"),
        Refusal::NoObject => Error::not_found("the object does not exist"),
        Refusal::Quota => Error::limit_exceeded("the application's quota of objects or bytes is used up"),
        Refusal::NotANumber => Error::invalid("the value of the key is not a number"),
        Refusal::Overflow => Error::invalid("the sum is larger than a 64-bit number"),
        Refusal::KeyQuota => Error::limit_exceeded("the application's quota of keys is used up"),
        Refusal::NoContent => Error::unavailable("the upload took too long, and its content was removed"),
    })
}
