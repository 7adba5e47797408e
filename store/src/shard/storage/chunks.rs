//! The bytes of contents. A chunk never changes, so putting it twice is harmless.

use bytes::{BufMut, Bytes, BytesMut};
use kiln_proto::v1::{DropChunks, PutChunk, StorageReply};

use super::rows;
use crate::{Error, Table, Transaction};

/// Bytes of the checksum before the data.
const HEADER: usize = 4;

pub(super) fn put(state: &mut Transaction<'_>, put: &PutChunk) -> StorageReply {
    let mut value = BytesMut::with_capacity(HEADER + put.data.len());
    value.put_u32_le(crc32c::crc32c(&put.data));
    value.put_slice(&put.data);
    state.put(
        Table::Blob,
        rows::chunk(&put.content_id, put.chunk),
        value.freeze(),
    );
    super::done()
}

pub(super) fn remove(state: &mut Transaction<'_>, drop: &DropChunks) -> StorageReply {
    for chunk in drop.from..drop.to {
        state.delete(Table::Blob, rows::chunk(&drop.content_id, chunk));
    }
    super::done()
}

/// The data of a stored chunk.
pub(super) fn decode(value: &Bytes) -> Result<Bytes, Error> {
    let corrupt = || Error::Corrupt("a chunk of a blob does not match its checksum".into());
    let (checksum, data) = value.split_first_chunk::<HEADER>().ok_or_else(corrupt)?;
    if u32::from_le_bytes(*checksum) != crc32c::crc32c(data) {
        return Err(corrupt());
    }
    Ok(value.slice(HEADER..))
}
