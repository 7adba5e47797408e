//! Containers. Their objects are kept under a number that is never used again, so that a container of any size is emptied
//! at once: it gets a new number, and the objects under the old one are swept away step by step.

use kiln_proto::v1::{BlobContainer, BlobObject, DeadContainer, StorageReply, storage_reply::Refusal};

use super::{
    super::{keys, record},
    contents,
    directory::Directory,
    refusal::refuse,
    rows,
};
use crate::{Error, Table, Transaction};

pub(super) fn load(
    state: &Transaction<'_>,
    application: &str,
    name: &str,
) -> Result<Option<BlobContainer>, Error> {
    let row = state.get(Table::Blob, &rows::container(application, name))?;
    row.map(|row| record::decode("a container", &row)).transpose()
}

pub(super) fn store(state: &mut Transaction<'_>, application: &str, name: &str, container: &BlobContainer) {
    state.put(
        Table::Blob,
        rows::container(application, name),
        record::encode(container),
    );
}

/// Creates a container. One that exists stays as it is, so that a guest can ask for its container each time.
pub(super) fn create(
    state: &mut Transaction<'_>,
    directory: &mut Directory<'_>,
    name: &str,
) -> Result<StorageReply, Error> {
    let container = match load(state, directory.application, name)? {
        Some(container) => container,
        None => {
            directory.add_container();
            let container = BlobContainer {
                number: next_number(state)?,
                created_at_ns: directory.at_ns,
                ..BlobContainer::default()
            };
            store(state, directory.application, name, &container);
            container
        }
    };
    Ok(StorageReply {
        container: Some(container),
        ..StorageReply::default()
    })
}

fn next_number(state: &mut Transaction<'_>) -> Result<u64, Error> {
    let next = state.get(Table::Blob, rows::NEXT_CONTAINER_ROW)?;
    let malformed = || Error::Corrupt("the next container's number is malformed".into());
    let number = next.map_or(Ok(1), |next| keys::number_at(&next, 0).ok_or_else(malformed))?;
    state.put(
        Table::Blob,
        rows::NEXT_CONTAINER_ROW,
        (number + 1).to_be_bytes().to_vec(),
    );
    Ok(number)
}

pub(super) fn delete(
    state: &mut Transaction<'_>,
    directory: &mut Directory<'_>,
    name: &str,
) -> Result<StorageReply, Error> {
    let Some(container) = load(state, directory.application, name)? else {
        return Ok(refuse(Refusal::NoContainer));
    };
    directory.remove_container(&container)?;
    bury(state, directory.application, &container);
    state.delete(Table::Blob, rows::container(directory.application, name));
    Ok(super::done())
}

pub(super) fn clear(
    state: &mut Transaction<'_>,
    directory: &mut Directory<'_>,
    name: &str,
) -> Result<StorageReply, Error> {
    let Some(container) = load(state, directory.application, name)? else {
        return Ok(refuse(Refusal::NoContainer));
    };
    directory.remove_objects(container.objects, container.bytes)?;
    bury(state, directory.application, &container);
    let empty = BlobContainer {
        number: next_number(state)?,
        created_at_ns: container.created_at_ns,
        ..BlobContainer::default()
    };
    store(state, directory.application, name, &empty);
    Ok(super::done())
}

/// Queues the objects of a container for the sweeper.
fn bury(state: &mut Transaction<'_>, application: &str, container: &BlobContainer) {
    if container.objects > 0 {
        let whose = application.as_bytes().to_vec();
        state.put(Table::Blob, rows::dead_container(container.number), whose);
    }
}

/// Removes some objects of a container that is gone.
pub(super) fn sweep(
    state: &mut Transaction<'_>,
    directory: &Directory<'_>,
    dead: &DeadContainer,
) -> Result<StorageReply, Error> {
    // Only what is queued: a number that is in use is never swept.
    if state
        .get(Table::Blob, &rows::dead_container(dead.number))?
        .is_none()
    {
        return Ok(super::done());
    }
    let prefix = rows::objects(dead.number);
    let end = crate::engine::after_prefix(&prefix);
    let found = state.scan(Table::Blob, &prefix, &end, dead.limit as usize)?;
    let count = found.len() as u64;
    for (key, row) in found {
        let object: BlobObject = record::decode("an object", &row)?;
        contents::release(state, directory, &object.content_id)?;
        state.delete(Table::Blob, key);
    }
    if count < u64::from(dead.limit) {
        state.delete(Table::Blob, rows::dead_container(dead.number));
    }
    Ok(StorageReply {
        number: count,
        ..StorageReply::default()
    })
}
