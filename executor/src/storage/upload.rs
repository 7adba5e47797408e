use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::FuturesUnordered};
use kiln_proto::{
    Error,
    hash::{CHUNK_BYTES, STRIPE_CHUNKS},
    v1::{self, change_blobs::Change},
};

use super::Storage;
use crate::host::{Content, ObjectName};

/// Chunks of one upload that are under way at the same time: enough to keep replication busy, and all that the upload
/// holds in memory.
const CHUNKS_UNDER_WAY: usize = 4;

impl Storage {
    /// Brings content to its place chunk by chunk, and gives it its name at the end: until then nobody sees it.
    pub(super) async fn upload(
        &self,
        target: ObjectName<'_>,
        content_id: Bytes,
        mut content: Content<'_>,
        writer: Option<v1::StorageWriter>,
    ) -> Result<(), Error> {
        let content_id = self.id_of_new(&content_id);
        let chunks = self.chunks_of(&content_id)?;
        let mut under_way = FuturesUnordered::new();
        let mut rechunked = Rechunked::default();
        let mut size = 0_u64;
        let mut next = 0_u32;
        loop {
            let chunk = rechunked.next(&mut content).await?;
            let is_first = next == 0;
            if chunk.is_none() && !is_first {
                break;
            }
            if next.is_multiple_of(STRIPE_CHUNKS) {
                self.announce(target.application, &content_id, next).await?;
            }
            let Some(data) = chunk else { break };
            size += data.len() as u64;
            if size > self.limits.object_bytes_max {
                return Err(Error::limit_exceeded(format!(
                    "an object has at most {} bytes",
                    self.limits.object_bytes_max
                )));
            }
            under_way.push(chunks.put(&content_id, next, data));
            next += 1;
            while under_way.len() >= CHUNKS_UNDER_WAY {
                under_way.next().await.transpose()?;
            }
        }
        while under_way.next().await.transpose()?.is_some() {}
        let put = v1::PutObject {
            container: target.container.to_owned(),
            object: target.object.to_owned(),
            content_id: content_id.clone(),
            size,
        };
        self.change_directory(target.application, Change::PutObject(put), writer)
            .await?;
        Ok(())
    }

    /// Says that chunks of the next stripe may come, so that they are removed if the upload is not finished.
    async fn announce(&self, application: &str, content_id: &Bytes, chunk: u32) -> Result<(), Error> {
        let announced = v1::AnnounceContent {
            content_id: content_id.clone(),
            size: u64::from(chunk + STRIPE_CHUNKS) * CHUNK_BYTES as u64,
        };
        self.change_directory(application, Change::AnnounceContent(announced), None)
            .await?;
        Ok(())
    }
}

/// Turns pieces of any size into chunks of the one size that the format has.
#[derive(Default)]
struct Rechunked {
    buffer: BytesMut,
    has_ended: bool,
}

impl Rechunked {
    /// The next chunk: a full one, or at the end what is left; `None` after the end.
    async fn next(&mut self, content: &mut Content<'_>) -> Result<Option<Bytes>, Error> {
        while self.buffer.len() < CHUNK_BYTES && !self.has_ended {
            match content.next().await.transpose()? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => self.has_ended = true,
            }
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let length = self.buffer.len().min(CHUNK_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}
