use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::{
    Error,
    convert::now_ns,
    v1::{
        self, read_storage_request::Read, shard_operation::Operation as ShardOperation,
        shard_service_client::ShardServiceClient,
    },
};
use kiln_store::Shard;
use tonic::{Response, Status, transport::Channel};

use super::usage;
use crate::{
    route::{Operation, RemoteCall},
    shard::Owned,
};

/// Most rows on a page of names.
const PAGE_MAX: u32 = 1000;

/// A write at a shard's owner. Repeated until it is answered: each carries its writer, or does no harm twice.
pub(crate) struct WriteStorage(pub(crate) v1::WriteStorageRequest);

/// A read at a shard's owner.
pub(crate) struct ReadStorage(pub(crate) v1::ReadStorageRequest);

impl Operation for WriteStorage {
    type Reply = v1::WriteStorageResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::WriteStorageResponse, Error> {
        let operation = self
            .0
            .operation
            .as_ref()
            .and_then(|operation| operation.operation.clone());
        let operation = operation.ok_or_else(|| Error::invalid("the request names no operation"))?;
        // Chunks wait here rather than in the memory of the log.
        let slots = &owned.context().chunk_slots;
        let _slot = match operation {
            ShardOperation::PutChunk(_) => Some(slots.acquire().await),
            _ => None,
        };
        let reply = owned.shard.write_storage(operation).await?;
        Ok(v1::WriteStorageResponse { reply: Some(reply) })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::WriteStorageResponse>, Status> {
        client(&call).write_storage(call.request(self.0.clone())).await
    }
}

impl Operation for ReadStorage {
    type Reply = v1::ReadStorageResponse;

    /// Sees all writes that were answered before it. Within the leader's lease no other node can have answered one.
    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::ReadStorageResponse, Error> {
        if !owned.shard.group().is_within_lease() {
            owned.shard.barrier().await?;
        }
        read_rows(&owned.shard, &self.0)
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::ReadStorageResponse>, Status> {
        client(&call).read_storage(call.request(self.0.clone())).await
    }
}

fn client(call: &RemoteCall) -> ShardServiceClient<Channel> {
    ShardServiceClient::new(call.channel.clone())
        .max_decoding_message_size(call.message_bytes_max)
        .max_encoding_message_size(call.message_bytes_max)
}

/// Reads from a replica.
fn read_rows(shard: &Shard, request: &v1::ReadStorageRequest) -> Result<v1::ReadStorageResponse, Error> {
    let application = request.application.as_str();
    let mut found = v1::ReadStorageResponse::default();
    match &request.read {
        Some(Read::Keys(read)) => {
            for key in &read.keys {
                let value = shard.key(application, &read.bucket, key, now_ns())?;
                found.keys.push(v1::FoundKey { value });
            }
        }
        Some(Read::KeyPage(read)) => {
            let limit = page_limit(read.limit);
            found.names = shard.keys(application, &read.bucket, read.after.as_deref(), limit, now_ns())?;
        }
        Some(Read::BucketPage(read)) => {
            found.names = shard.buckets(application, read.after.as_deref(), page_limit(read.limit))?;
        }
        Some(Read::ContainerPage(read)) => {
            let page = shard.containers(application, read.after.as_deref(), page_limit(read.limit))?;
            let named = page.into_iter().map(|(name, container)| v1::NamedContainer {
                name,
                container: Some(container),
            });
            found.containers = named.collect();
        }
        Some(Read::Objects(read)) => read_objects(shard, application, read, &mut found)?,
        Some(Read::ObjectPage(read)) => read_object_page(shard, application, read, &mut found)?,
        Some(Read::Chunk(read)) => found.data = read_chunk(shard, read)?,
        Some(Read::Usage(_)) => found.usages = usage::of_shard(shard)?,
        None => return Err(Error::invalid("the request names no read")),
    }
    Ok(found)
}

fn page_limit(limit: u32) -> usize {
    limit.clamp(1, PAGE_MAX) as usize
}

fn read_objects(
    shard: &Shard,
    application: &str,
    read: &v1::ObjectsRead,
    found: &mut v1::ReadStorageResponse,
) -> Result<(), Error> {
    let Some(container) = shard.container(application, &read.container)? else {
        return Ok(());
    };
    for name in &read.objects {
        if let Some(object) = shard.object(&container, name)? {
            found.objects.push(v1::NamedObject {
                name: name.clone(),
                object: Some(object),
            });
        }
    }
    found.container = Some(container);
    Ok(())
}

fn read_object_page(
    shard: &Shard,
    application: &str,
    read: &v1::ObjectPageRead,
    found: &mut v1::ReadStorageResponse,
) -> Result<(), Error> {
    let Some(container) = shard.container(application, &read.container)? else {
        return Ok(());
    };
    let page = shard.objects(&container, read.after.as_deref(), page_limit(read.limit))?;
    let named = page.into_iter().map(|stored| v1::NamedObject {
        name: stored.name,
        object: Some(stored.object),
    });
    found.objects = named.collect();
    found.container = Some(container);
    Ok(())
}

/// A part of a chunk of this replica.
pub(super) fn read_chunk(shard: &Shard, read: &v1::ChunkRead) -> Result<Bytes, Error> {
    let chunk = shard.chunk(&read.content_id, read.chunk)?;
    let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
    let to = read.to.min(length);
    Ok(chunk.slice(read.from.min(to) as usize..to as usize))
}
