use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kiln_proto::{Error, hash::CHUNK_BYTES};
use tokio::runtime::{Handle, RuntimeFlavor};
use wasmtime_wasi_io::{
    poll::Pollable,
    streams::{InputStream, StreamError, StreamResult},
};

use super::Storage;

/// A range of an immutable content.
#[derive(Clone)]
pub(crate) struct ContentRange {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) content_id: Bytes,
    pub(super) from: u64,
    /// Exclusive.
    pub(super) to: u64,
}

impl ContentRange {
    /// The bytes from `from` on and below `to`.
    pub(crate) fn new(storage: Arc<dyn Storage>, content_id: Bytes, from: u64, to: u64) -> Self {
        Self {
            storage,
            content_id,
            from,
            to,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.to - self.from
    }

    /// Takes the next piece off the front: up to the end of a chunk. Empty at the end.
    ///
    /// # Errors
    /// When the shard cannot be reached, or the content is gone.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Error> {
        let chunk_bytes = CHUNK_BYTES as u64;
        if self.from >= self.to {
            return Ok(Bytes::new());
        }
        let chunk = self.from / chunk_bytes;
        let begin = chunk * chunk_bytes;
        let narrow = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX);
        let end = self.to.min(begin + chunk_bytes);
        let piece = self
            .storage
            .chunk(
                &self.content_id,
                narrow(chunk),
                narrow(self.from - begin),
                narrow(end - begin),
            )
            .await?;
        if piece.len() as u64 != end - self.from {
            return Err(Error::corrupt("a chunk of a blob is shorter than it was written"));
        }
        self.from = end;
        Ok(piece)
    }

    /// All of it at once.
    ///
    /// # Errors
    /// As [`ContentRange::next`].
    pub(super) async fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut all = Vec::with_capacity(usize::try_from(self.size()).unwrap_or(0));
        while self.from < self.to {
            all.extend_from_slice(&self.next().await?);
        }
        Ok(all)
    }
}

/// A guest's stream of a content. It needs no place in the oplog, since the content never changes.
///
/// What a read gives depends on nothing but the reads before: the next piece is waited for, rather than that "nothing is
/// there yet", which a replay could not repeat.
pub(super) struct ContentStream {
    rest: ContentRange,
    piece: Bytes,
}

impl ContentStream {
    pub(super) fn new(range: ContentRange) -> Self {
        Self {
            rest: range,
            piece: Bytes::new(),
        }
    }

    fn is_at_end(&self) -> bool {
        self.piece.is_empty() && self.rest.from >= self.rest.to
    }

    async fn fill(&mut self) -> Result<(), Error> {
        if self.piece.is_empty() {
            self.piece = self.rest.next().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Pollable for ContentStream {
    async fn ready(&mut self) {
        // The read that follows tries again, and reports the failure.
        let _ = self.fill().await;
    }
}

#[async_trait]
impl InputStream for ContentStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.is_at_end() {
            return Err(StreamError::Closed);
        }
        // Most guests wait first. For one that does not, this thread waits; where it must not, there is nothing yet.
        if self.piece.is_empty() && Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            let filled = tokio::task::block_in_place(|| Handle::current().block_on(self.fill()));
            // The attempt ends; the worker's retry policy decides about the next one.
            filled.map_err(|error| StreamError::Trap(wasmtime::Error::new(error)))?;
        }
        let length = size.min(self.piece.len());
        Ok(self.piece.split_to(length))
    }
}
