//! Objects: names of contents in containers.

use kiln_proto::v1::{
    BlobContainer, BlobObject, CopyObject, DeleteObjects, PinObject, PutObject, StorageReply,
    storage_reply::Refusal,
};

use super::{
    super::record,
    containers, contents,
    directory::{Directory, decrease},
    refusal::refuse,
    rows,
};
use crate::{Error, Table, Transaction};

fn load(state: &Transaction<'_>, container: u64, name: &str) -> Result<Option<BlobObject>, Error> {
    let row = state.get(Table::Blob, &rows::object(container, name))?;
    row.map(|row| record::decode("an object", &row)).transpose()
}

/// Gives uploaded content a name, in place of what had it before.
pub(super) fn put(
    state: &mut Transaction<'_>,
    directory: &mut Directory<'_>,
    put: &PutObject,
) -> Result<StorageReply, Error> {
    let object = BlobObject {
        content_id: put.content_id.clone(),
        size: put.size,
        created_at_ns: directory.at_ns,
    };
    let refusal = name(state, directory, &put.container, &put.object, &object)?;
    Ok(refusal.map_or_else(super::done, refuse))
}

/// Points a name at a content.
fn name(
    state: &mut Transaction<'_>,
    directory: &mut Directory<'_>,
    container_name: &str,
    name: &str,
    object: &BlobObject,
) -> Result<Option<Refusal>, Error> {
    let Some(mut container) = containers::load(state, directory.application, container_name)? else {
        return Ok(Some(Refusal::NoContainer));
    };
    let replaced = load(state, container.number, name)?;
    let replaced_size = replaced.as_ref().map(|replaced| replaced.size);
    if !directory.has_room(replaced_size, object.size) {
        return Ok(Some(Refusal::Quota));
    }
    // Before the old one is released: both may be the same.
    if !contents::refer(state, &object.content_id, object.size)? {
        return Ok(Some(Refusal::NoContent));
    }
    if let Some(replaced) = &replaced {
        forget(state, directory, &mut container, replaced)?;
    }
    directory.add_object(object.size);
    container.objects += 1;
    container.bytes = container.bytes.saturating_add(object.size);
    let key = rows::object(container.number, name);
    state.put(Table::Blob, key, record::encode(object));
    containers::store(state, directory.application, container_name, &container);
    Ok(None)
}

/// An object no longer counts, and lets go of its content.
fn forget(
    state: &mut Transaction<'_>,
    directory: &mut Directory<'_>,
    container: &mut BlobContainer,
    object: &BlobObject,
) -> Result<(), Error> {
    directory.remove_objects(1, object.size)?;
    decrease(&mut container.objects, 1)?;
    decrease(&mut container.bytes, object.size)?;
    contents::release(state, directory, &object.content_id)
}

/// Deletes objects; those that do not exist are not missed. The reply says how many did.
pub(super) fn delete(
    state: &mut Transaction<'_>,
    directory: &mut Directory<'_>,
    delete: &DeleteObjects,
) -> Result<StorageReply, Error> {
    let Some(mut container) = containers::load(state, directory.application, &delete.container)? else {
        return Ok(refuse(Refusal::NoContainer));
    };
    let mut deleted = 0;
    for name in &delete.objects {
        if let Some(object) = load(state, container.number, name)? {
            forget(state, directory, &mut container, &object)?;
            state.delete(Table::Blob, rows::object(container.number, name));
            deleted += 1;
        }
    }
    containers::store(state, directory.application, &delete.container, &container);
    Ok(StorageReply {
        number: deleted,
        ..StorageReply::default()
    })
}

/// Gives an object's content another name, and takes the first one away when it is a move: in one step for all readers.
pub(super) fn copy(
    state: &mut Transaction<'_>,
    directory: &mut Directory<'_>,
    copy: &CopyObject,
) -> Result<StorageReply, Error> {
    let Some(source) = containers::load(state, directory.application, &copy.container)? else {
        return Ok(refuse(Refusal::NoContainer));
    };
    let Some(found) = load(state, source.number, &copy.object)? else {
        return Ok(refuse(Refusal::NoObject));
    };
    if copy.container == copy.to_container && copy.object == copy.to_object {
        return Ok(super::done());
    }
    let object = BlobObject {
        // A move keeps the object; a copy is a new one.
        created_at_ns: if copy.is_move {
            found.created_at_ns
        } else {
            directory.at_ns
        },
        ..found
    };
    if copy.is_move {
        directory.make_room(object.size);
    }
    if let Some(refusal) = name(state, directory, &copy.to_container, &copy.to_object, &object)? {
        return Ok(refuse(refusal));
    }
    if copy.is_move {
        let moved = DeleteObjects {
            container: copy.container.clone(),
            objects: vec![copy.object.clone()],
        };
        delete(state, directory, &moved)?;
    }
    Ok(super::done())
}

/// Finds an object and keeps its content readable for a reader, although the object be deleted or replaced.
pub(super) fn pin(
    state: &mut Transaction<'_>,
    directory: &Directory<'_>,
    pin: &PinObject,
) -> Result<StorageReply, Error> {
    let Some(container) = containers::load(state, directory.application, &pin.container)? else {
        return Ok(refuse(Refusal::NoContainer));
    };
    let Some(object) = load(state, container.number, &pin.object)? else {
        return Ok(refuse(Refusal::NoObject));
    };
    state.put(
        Table::Blob,
        rows::pin(&object.content_id, &pin.reader),
        Vec::new(),
    );
    Ok(StorageReply {
        object: Some(object),
        ..StorageReply::default()
    })
}
