use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use kiln_proto::{
    Error,
    hash::{STRIPE_CHUNKS, shard_of_chunk},
    v1::{self, read_storage_request::Read, shard_operation::Operation},
};

use super::{
    super::{Storage, operation::read_chunk},
    Chunks,
};

/// Chunks in the cluster's shards, a stripe of them in one shard.
pub(super) struct InShards<'a>(pub(super) &'a Storage);

#[async_trait]
impl Chunks for InShards<'_> {
    async fn put(&self, content_id: &Bytes, chunk: u32, data: Bytes) -> Result<(), Error> {
        let put = v1::PutChunk {
            content_id: content_id.clone(),
            chunk,
            data,
        };
        let shard = shard_of_chunk(content_id, chunk, self.0.shard_count()?);
        self.0.write(shard, Operation::PutChunk(put)).await?;
        Ok(())
    }

    /// From the replica here, if there is one: chunks never change. Else from the shard's owner.
    async fn part(&self, content_id: &Bytes, chunk: u32, from: u32, to: u32) -> Result<Bytes, Error> {
        let read = v1::ChunkRead {
            content_id: content_id.clone(),
            chunk,
            from,
            to,
        };
        let shard = shard_of_chunk(content_id, chunk, self.0.shard_count()?);
        if let Some(replica) = self.0.router.shards.replica(shard)
            && let Ok(data) = read_chunk(&replica.shard, &read)
        {
            return Ok(data);
        }
        Ok(self.0.read(shard, "", Read::Chunk(read)).await?.data)
    }

    async fn remove(&self, content_id: &Bytes, chunks: Range<u32>) -> Result<(), Error> {
        let shards = self.0.shard_count()?;
        for from in chunks.clone().step_by(STRIPE_CHUNKS as usize) {
            let drop = v1::DropChunks {
                content_id: content_id.clone(),
                from,
                to: chunks.end.min(from + STRIPE_CHUNKS),
            };
            let shard = shard_of_chunk(content_id, from, shards);
            self.0.write(shard, Operation::DropChunks(drop)).await?;
        }
        Ok(())
    }
}
