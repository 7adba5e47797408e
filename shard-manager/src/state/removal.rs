//! Removing components, and the bytes that no other one has.

use std::collections::BTreeSet;

use bytes::Bytes;
use kiln_proto::{Error as Refusal, v1};
use kiln_store::{Error, Table, Transaction};

use super::{
    keys,
    machine::{Applied, count, count_revision},
    records::{Blob, Component, decode},
};

/// Removes a component with all its versions. One that is not there has been removed before.
pub(super) fn apply_remove(state: &mut Transaction<'_>, id: &Bytes) -> Applied {
    let Some(row) = state.get(Table::Control, &keys::component(id))? else {
        return Ok(Err(Refusal::not_found("there is no such component any more")));
    };
    let component: Component = decode(row, "a component")?;
    let mut blobs = BTreeSet::new();
    let mut versions = Vec::new();
    for (key, row) in state.scan_prefix(Table::Control, &keys::component_versions(id))? {
        blobs.extend(blobs_of(&decode(row, "a component version")?));
        versions.push(key.to_vec());
    }
    for key in versions {
        state.delete(Table::Control, key);
    }
    state.delete(Table::Control, keys::component(id));
    state.delete(Table::Control, keys::component_name(&component.name));
    for (_, row) in state.scan_prefix(Table::Control, keys::VERSIONS)? {
        let version: v1::ComponentVersion = decode(row, "a component version")?;
        if version.component_id != *id {
            for digest in blobs_of(&version) {
                blobs.remove(&digest);
            }
        }
    }
    for digest in &blobs {
        remove_blob(state, digest)?;
    }
    count(state, keys::REMOVALS)?;
    count_revision(state)?;
    Ok(Ok(None))
}

/// The bytes behind a version: its code and its files.
fn blobs_of(version: &v1::ComponentVersion) -> Vec<Bytes> {
    let files = version.files.iter().map(|file| file.digest.clone());
    std::iter::once(version.digest.clone()).chain(files).collect()
}

fn remove_blob(state: &mut Transaction<'_>, digest: &[u8]) -> Result<(), Error> {
    let Some(row) = state.get(Table::Control, &keys::blob(digest))? else {
        return Ok(());
    };
    let blob: Blob = decode(row, "a blob record")?;
    for index in 0..blob.chunks {
        state.delete(Table::Blob, keys::chunk(digest, index));
    }
    state.delete(Table::Control, keys::blob(digest));
    Ok(())
}
