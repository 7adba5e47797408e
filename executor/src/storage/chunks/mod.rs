//! The bytes of contents, chunk by chunk: in the cluster's shards, or in an object store beside it.
//!
//! Everything else about an object (its name, size, who reads it, when it is garbage) is in the shards either way, so what
//! guests see does not depend on where the bytes are. The id of a content says where that is. So an operator can change
//! [`BlobPlace`] at any time: what is there stays where it is and readable as long as the store is named, and only new
//! contents go to the new place.
//!
//! * `place` – [`BlobPlace`], as it is configured
//! * `in_shards`, `in_store` – the two places

mod in_shards;
mod in_store;
mod place;

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use kiln_proto::Error;

use super::Storage;
use in_shards::InShards;

pub(crate) use in_store::InStore;
pub use place::BlobPlace;

/// A place for chunks. A chunk never changes, so each of these can be repeated.
#[async_trait]
pub(super) trait Chunks: Send + Sync {
    /// Stores a chunk: it survives a crash of any machine of the place.
    async fn put(&self, content_id: &Bytes, chunk: u32, data: Bytes) -> Result<(), Error>;

    /// A part of a chunk, `to` exclusive and clamped to its length.
    async fn part(&self, content_id: &Bytes, chunk: u32, from: u32, to: u32) -> Result<Bytes, Error>;

    /// Removes chunks, as far as they exist.
    async fn remove(&self, content_id: &Bytes, chunks: Range<u32>) -> Result<(), Error>;
}

/// What the id of a content in the object store begins with. Ids are random otherwise and of 16 bytes in the shards, so no
/// id is the beginning of another one.
const IN_STORE: &[u8] = &[1];
/// Length of the id of a content in the shards.
const ID_BYTES: usize = 16;

fn is_in_store(content_id: &[u8]) -> bool {
    content_id.len() > ID_BYTES && content_id.starts_with(IN_STORE)
}

impl Storage {
    /// The id of a new content: `random`, and where contents go now.
    pub(super) fn id_of_new(&self, random: &Bytes) -> Bytes {
        match self.store {
            Some(_) => [IN_STORE, random].concat().into(),
            None => random.clone(),
        }
    }

    /// Where a content is.
    ///
    /// # Errors
    /// `CONFLICT` when it is in an object store and this node has none.
    pub(super) fn chunks_of(&self, content_id: &[u8]) -> Result<Box<dyn Chunks + '_>, Error> {
        match &self.store {
            _ if !is_in_store(content_id) => Ok(Box::new(InShards(self))),
            Some(store) => Ok(Box::new(store.clone())),
            None => Err(Error::conflict(
                "the bytes of the object are in an object store, and this node has none",
            )
            .with_hint("set storage.blobs on every node to what it was when the object was stored")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_where_its_content_is() {
        let in_shards = [1; ID_BYTES];
        assert!(!is_in_store(&in_shards));
        assert!(is_in_store(&[IN_STORE, &in_shards].concat()));
    }
}
