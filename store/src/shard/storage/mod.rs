//! Keys and blobs of applications.
//!
//! * `rows` – the keys of the rows of both tables
//! * `writer` – applies each write once, whatever is repeated
//! * `kv` – keys: set, delete, increment, compare and swap
//! * `containers`, `objects` – an application's blob directory: which content each object has
//! * `contents` – what refers to a content, and when it is garbage
//! * `chunks` – the bytes of contents
//! * `refusal` – the operation does not fit, as a reply
//! * `read` – reads of all these

mod chunks;
mod containers;
mod contents;
mod directory;
mod kv;
mod objects;
mod read;
mod refusal;
mod rows;
mod writer;

use kiln_proto::v1::{StorageReply, shard_operation::Operation, shard_operation_reply::Reply};

use crate::{Error, Transaction};

pub use read::{DueGarbage, StoredObject};

/// Applies an operation on keys or blobs; `None` when it is of another kind.
pub(super) fn operate(
    state: &mut Transaction<'_>,
    operation: Option<&Operation>,
) -> Result<Option<Reply>, Error> {
    let reply = match operation {
        Some(Operation::WriteKeys(write)) => kv::write(state, write)?,
        Some(Operation::CombineKey(combine)) => kv::combine(state, combine)?,
        Some(Operation::ChangeBlobs(change)) => directory::change(state, change)?,
        Some(Operation::PutChunk(put)) => chunks::put(state, put),
        Some(Operation::DropChunks(drop)) => chunks::remove(state, drop),
        Some(Operation::ForgetWriters(forget)) => writer::forget(state, forget)?,
        _ => return Ok(None),
    };
    Ok(Some(Reply::Storage(reply)))
}

/// The operation is one on keys or blobs.
pub(super) fn is_storage(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::WriteKeys(_)
            | Operation::CombineKey(_)
            | Operation::ChangeBlobs(_)
            | Operation::PutChunk(_)
            | Operation::DropChunks(_)
            | Operation::ForgetWriters(_)
    )
}

/// Bytes that an operation adds to a command, about.
pub(super) fn weight(operation: &Operation) -> usize {
    match operation {
        Operation::WriteKeys(write) => {
            let sizes = write.changes.iter();
            sizes
                .map(|change| change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len))
                .sum()
        }
        Operation::PutChunk(put) => put.data.len(),
        _ => 0,
    }
}

/// Nothing more to say than that it was done.
fn done() -> StorageReply {
    StorageReply::default()
}
