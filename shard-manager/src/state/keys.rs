//! Keys of the control state: one letter for the kind, then the id. They are part of the storage format.

use kiln_proto::ids::{NodeId, ShardId};

pub(crate) const REVISION: &[u8] = b"r";
pub(crate) const CLUSTER: &[u8] = b"g";
pub(crate) const NODES: &[u8] = b"n";
pub(crate) const SHARDS: &[u8] = b"s";
pub(crate) const COMPONENTS: &[u8] = b"c";
/// Versions of all components.
pub(crate) const VERSIONS: &[u8] = b"v";
/// Counts the components that have been removed.
pub(crate) const REMOVALS: &[u8] = b"d";

pub(crate) fn node(id: NodeId) -> Vec<u8> {
    keyed(b'n', &id.0.to_be_bytes())
}

pub(crate) fn shard(id: ShardId) -> Vec<u8> {
    keyed(b's', &id.0.to_be_bytes())
}

/// By the component's id.
pub(crate) fn component(id: &[u8]) -> Vec<u8> {
    keyed(b'c', id)
}

/// By the component's name; the value is its id.
pub(crate) fn component_name(name: &str) -> Vec<u8> {
    keyed(b'm', name.as_bytes())
}

pub(crate) fn component_version(id: &[u8], version: u64) -> Vec<u8> {
    let mut key = keyed(b'v', id);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// All versions of a component.
pub(crate) fn component_versions(id: &[u8]) -> Vec<u8> {
    keyed(b'v', id)
}

pub(crate) fn token(token: &str) -> Vec<u8> {
    keyed(b't', token.as_bytes())
}

/// Present when all chunks are there and match the digest.
pub(crate) fn blob(digest: &[u8]) -> Vec<u8> {
    keyed(b'b', digest)
}

/// In the blob table.
pub(crate) fn chunk(digest: &[u8], index: u32) -> Vec<u8> {
    let mut key = digest.to_vec();
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn keyed(kind: u8, id: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + id.len());
    key.push(kind);
    key.extend_from_slice(id);
    key
}
