//! Components and the bytes behind them, for those who ask.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use kiln_proto::{Error, convert::now_ns, ids::ComponentId, v1};
use tonic::Status;
use uuid::Uuid;

use crate::{
    inner::Inner,
    route::{Route, forwarded, unbounded},
    state::{self, Change, Outcome, PutChunk, Register},
};

/// One chunk is one Raft entry.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Largest component.
const COMPONENT_BYTES_MAX: u64 = 256 << 20;
const CHUNKS_MAX: u32 = 4096;
const DIGEST_BYTES: usize = 32;
const NAME_BYTES_MAX: usize = 128;

pub(crate) type Chunks = BoxStream<'static, Result<v1::BlobChunk, Status>>;

/// Stores a piece of a component. The same piece is stored once, however often it is sent.
pub(crate) async fn put_chunk(
    inner: &Arc<Inner>,
    was_forwarded: bool,
    request: v1::PutBlobChunkRequest,
) -> Result<v1::PutBlobChunkResponse, Error> {
    check_chunk(&request)?;
    if state::chunk(inner.view.reader(), &request.digest, request.index)?.as_ref() == Some(&request.bytes) {
        return Ok(v1::PutBlobChunkResponse {});
    }
    inner
        .at_leader(was_forwarded, |route| {
            let (inner, request) = (Arc::clone(inner), request.clone());
            Box::pin(async move {
                match route {
                    Route::Here(_) => {
                        let v1::PutBlobChunkRequest {
                            digest, index, bytes, ..
                        } = request;
                        inner
                            .commit(Change::PutChunk(PutChunk { digest, index, bytes }))
                            .await?;
                        Ok(v1::PutBlobChunkResponse {})
                    }
                    Route::There(mut client) => {
                        Ok(client.put_blob_chunk(forwarded(request)).await?.into_inner())
                    }
                }
            })
        })
        .await
}

fn check_chunk(request: &v1::PutBlobChunkRequest) -> Result<(), Error> {
    check_digest(&request.digest)?;
    if request.bytes.is_empty() || request.bytes.len() > CHUNK_BYTES_MAX {
        let message = format!(
            "a chunk has 1 to {CHUNK_BYTES_MAX} bytes, not {}",
            request.bytes.len()
        );
        return Err(Error::invalid(message));
    }
    if request.index >= CHUNKS_MAX {
        return Err(Error::limit_exceeded(format!(
            "a component has at most {CHUNKS_MAX} chunks"
        )));
    }
    if crc32c::crc32c(&request.bytes) != request.checksum {
        let message = format!("chunk {} does not match its CRC-32C", request.index);
        return Err(Error::invalid(message).with_hint("send it again"));
    }
    Ok(())
}

fn check_digest(digest: &[u8]) -> Result<(), Error> {
    match digest.len() {
        DIGEST_BYTES => Ok(()),
        other => Err(Error::invalid(format!(
            "a SHA-256 digest has {DIGEST_BYTES} bytes, not {other}"
        ))),
    }
}

/// Makes stored bytes a new component or a component's next version.
pub(crate) async fn register(
    inner: &Arc<Inner>,
    was_forwarded: bool,
    mut request: v1::RegisterComponentRequest,
) -> Result<v1::RegisterComponentResponse, Error> {
    check_registration(&request)?;
    if request.request_token.is_empty() {
        // The request is repeated when leadership changes on the way.
        request.request_token = Uuid::new_v4().to_string();
    }
    inner
        .at_leader(was_forwarded, |route| {
            let (inner, request) = (Arc::clone(inner), request.clone());
            Box::pin(async move {
                match route {
                    Route::Here(_) => register_here(&inner, request).await,
                    Route::There(mut client) => {
                        Ok(client.register_component(forwarded(request)).await?.into_inner())
                    }
                }
            })
        })
        .await
}

async fn register_here(
    inner: &Inner,
    request: v1::RegisterComponentRequest,
) -> Result<v1::RegisterComponentResponse, Error> {
    let fresh_id = Bytes::copy_from_slice(Uuid::new_v4().as_bytes());
    match inner
        .commit(Change::Register(Register {
            request,
            fresh_id,
            now_ns: now_ns(),
        }))
        .await?
    {
        Some(Outcome::Component(component)) => Ok(v1::RegisterComponentResponse {
            component: Some(component),
        }),
        _ => Err(Error::internal("a registration was answered without a component")),
    }
}

fn check_registration(request: &v1::RegisterComponentRequest) -> Result<(), Error> {
    check_name(&request.name)?;
    check_digest(&request.digest)?;
    if request.size > COMPONENT_BYTES_MAX {
        let message = format!(
            "a component has at most {COMPONENT_BYTES_MAX} bytes, not {}",
            request.size
        );
        return Err(Error::limit_exceeded(message));
    }
    if request.chunks == 0 || request.chunks > CHUNKS_MAX {
        return Err(Error::invalid(format!(
            "a component has 1 to {CHUNKS_MAX} chunks, not {}",
            request.chunks
        )));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_allowed = |c: char| c.is_alphanumeric() || "-_.:@+".contains(c);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_allowed) {
        let message = format!("\"{name}\" cannot name a component");
        let hint = format!("a name has 1 to {NAME_BYTES_MAX} bytes: letters, digits and - _ . : @ +");
        return Err(Error::invalid(message).with_hint(hint));
    }
    if name.parse::<ComponentId>().is_ok() {
        return Err(Error::invalid(format!(
            "\"{name}\" cannot name a component: it reads like a component's id"
        )));
    }
    Ok(())
}

/// Removes a component with all its versions.
pub(crate) async fn remove(
    inner: &Arc<Inner>,
    was_forwarded: bool,
    request: v1::RemoveComponentRequest,
) -> Result<v1::RemoveComponentResponse, Error> {
    inner
        .at_leader(was_forwarded, |route| {
            let (inner, request) = (Arc::clone(inner), request.clone());
            Box::pin(async move {
                match route {
                    Route::Here(lead) => {
                        inner.commit(Change::Remove(request)).await?;
                        // Nodes forget the name when they get the map.
                        inner.publish(&lead)?;
                        Ok(v1::RemoveComponentResponse {})
                    }
                    Route::There(mut client) => {
                        Ok(client.remove_component(forwarded(request)).await?.into_inner())
                    }
                }
            })
        })
        .await
}

/// Looks a component up by name or id.
pub(crate) async fn find(
    inner: &Arc<Inner>,
    was_forwarded: bool,
    request: v1::FindComponentRequest,
) -> Result<v1::FindComponentResponse, Error> {
    inner
        .at_leader(was_forwarded, |route| {
            let (inner, request) = (Arc::clone(inner), request.clone());
            Box::pin(async move {
                match route {
                    Route::Here(_) => find_here(&inner, &request).await,
                    Route::There(mut client) => {
                        Ok(client.find_component(forwarded(request)).await?.into_inner())
                    }
                }
            })
        })
        .await
}

async fn find_here(
    inner: &Inner,
    request: &v1::FindComponentRequest,
) -> Result<v1::FindComponentResponse, Error> {
    inner.group.read_barrier().await?;
    let id = request.component.parse::<ComponentId>().ok();
    let id = id.as_ref().map(|id| id.as_bytes().as_slice());
    let found = state::find(inner.view.reader(), &request.component, id, request.version)?;
    if let Some((component, latest)) = found {
        return Ok(v1::FindComponentResponse {
            component: Some(component),
            latest,
        });
    }
    let newest = state::find(inner.view.reader(), &request.component, id, None)?;
    Err(match (newest, request.version) {
        (Some((_, latest)), Some(version)) => Error::not_found(format!(
            "component \"{}\" has no version {version}",
            request.component
        ))
        .with_hint(format!("its newest version is {latest}")),
        _ => Error::not_found(format!("there is no component \"{}\"", request.component))
            .with_hint("`kiln component list` shows all of them"),
    })
}

/// The newest version of each component.
pub(crate) async fn list(inner: &Arc<Inner>, was_forwarded: bool) -> Result<v1::ListRegistryResponse, Error> {
    inner
        .at_leader(was_forwarded, |route| {
            let inner = Arc::clone(inner);
            Box::pin(async move {
                match route {
                    Route::Here(_) => {
                        inner.group.read_barrier().await?;
                        Ok(v1::ListRegistryResponse {
                            components: state::list(inner.view.reader())?,
                        })
                    }
                    Route::There(mut client) => Ok(client
                        .list_registry(forwarded(v1::ListRegistryRequest {}))
                        .await?
                        .into_inner()),
                }
            })
        })
        .await
}

/// The bytes of a registered component, from this replica if it has them. They never change, so no barrier is needed.
pub(crate) async fn get_blob(
    inner: &Arc<Inner>,
    was_forwarded: bool,
    digest: Bytes,
) -> Result<Chunks, Error> {
    check_digest(&digest)?;
    if let Some(chunks) = local_blob(inner, &digest)? {
        return Ok(chunks);
    }
    inner
        .at_leader(was_forwarded, |route| {
            let (inner, digest) = (Arc::clone(inner), digest.clone());
            Box::pin(async move {
                match route {
                    Route::Here(_) => {
                        inner.group.read_barrier().await?;
                        local_blob(&inner, &digest)?
                            .ok_or_else(|| Error::not_found("no registered component has these bytes"))
                    }
                    Route::There(mut client) => Ok(client
                        .get_blob(unbounded(v1::GetBlobRequest { digest }))
                        .await?
                        .into_inner()
                        .boxed()),
                }
            })
        })
        .await
}

fn local_blob(inner: &Arc<Inner>, digest: &Bytes) -> Result<Option<Chunks>, Error> {
    let Some(chunks) = state::blob_chunks(inner.view.reader(), digest)? else {
        return Ok(None);
    };
    let (inner, digest) = (Arc::clone(inner), digest.clone());
    let chunks = futures::stream::iter(0..chunks).map(move |index| {
        let bytes = state::chunk(inner.view.reader(), &digest, index).map_err(Error::from)?;
        let bytes =
            bytes.ok_or_else(|| Error::corrupt(format!("chunk {index} of a stored component is missing")))?;
        Ok(v1::BlobChunk { bytes })
    });
    Ok(Some(chunks.boxed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_cannot_be_mistaken_for_ids() {
        for name in ["counter", "my.app:counter-2", "größe", "a"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "a/b",
            "a b",
            "a\n",
            "177db03d-3234-4a04-8d03-e8d042348abd",
            &"x".repeat(129),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
