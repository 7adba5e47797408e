//! Contents: immutable bytes that objects refer to.
//!
//! A content is announced before its first chunk is uploaded. From then on, and again once no object refers to it, it
//! waits in the collector's queue, and is removed when it is due. So an upload that is never finished and a content that
//! was replaced go the same way. Readers that must find a content again, since their oplog names it, pin it.

use kiln_proto::v1::{
    AnnounceContent, BlobContent, BlobGarbage, DropPins, StorageReply, storage_reply::Refusal,
};

use super::{
    super::record,
    directory::{Directory, decrease},
    rows,
};
use crate::{Error, Table, Transaction};

pub(super) fn load(state: &Transaction<'_>, content_id: &[u8]) -> Result<Option<BlobContent>, Error> {
    let row = state.get(Table::Blob, &rows::content(content_id))?;
    row.map(|row| record::decode("a content", &row)).transpose()
}

/// Stores a content, and queues it as garbage when it is.
fn store(state: &mut Transaction<'_>, content_id: &[u8], old_due_ns: u64, content: &BlobContent) {
    if old_due_ns != content.garbage_due_ns {
        if old_due_ns > 0 {
            state.delete(Table::Blob, rows::garbage(old_due_ns, content_id));
        }
        if content.garbage_due_ns > 0 {
            let key = rows::garbage(content.garbage_due_ns, content_id);
            state.put(Table::Blob, key, Vec::new());
        }
    }
    state.put(Table::Blob, rows::content(content_id), record::encode(content));
}

pub(super) fn announce(
    state: &mut Transaction<'_>,
    directory: &Directory<'_>,
    announced: &AnnounceContent,
) -> Result<StorageReply, Error> {
    let mut content = load(state, &announced.content_id)?.unwrap_or_else(|| BlobContent {
        application: directory.application.to_owned(),
        ..BlobContent::default()
    });
    // It is complete, or too late: the same upload was finished before.
    if content.objects > 0 || content.is_dropped {
        return Ok(super::done());
    }
    let old_due_ns = content.garbage_due_ns;
    content.garbage_due_ns = directory.garbage_due_ns.max(1);
    content.size = content.size.max(announced.size);
    store(state, &announced.content_id, old_due_ns, &content);
    Ok(super::done())
}

/// Another object has the content. False when it is gone.
pub(super) fn refer(state: &mut Transaction<'_>, content_id: &[u8], size: u64) -> Result<bool, Error> {
    let Some(mut content) = load(state, content_id)? else {
        return Ok(false);
    };
    if content.is_dropped {
        return Ok(false);
    }
    let old_due_ns = std::mem::take(&mut content.garbage_due_ns);
    content.objects += 1;
    content.size = size;
    store(state, content_id, old_due_ns, &content);
    Ok(true)
}

/// An object has the content no longer.
pub(super) fn release(
    state: &mut Transaction<'_>,
    directory: &Directory<'_>,
    content_id: &[u8],
) -> Result<(), Error> {
    let missing = || Error::Corrupt("an object has a content that does not exist".into());
    let mut content = load(state, content_id)?.ok_or_else(missing)?;
    decrease(&mut content.objects, 1)?;
    if content.objects == 0 {
        content.garbage_due_ns = directory.garbage_due_ns.max(1);
    }
    store(state, content_id, 0, &content);
    Ok(())
}

/// The collector's two steps. At first nobody can name the content any more; its chunks are removed; then it is forgotten.
pub(super) fn collect(state: &mut Transaction<'_>, garbage: &BlobGarbage) -> Result<StorageReply, Error> {
    let refused = super::refusal::refuse(Refusal::NoContent);
    let Some(mut content) = load(state, &garbage.content_id)? else {
        return Ok(refused);
    };
    if content.garbage_due_ns != garbage.due_ns {
        return Ok(refused);
    }
    if content.is_dropped {
        state.delete(Table::Blob, rows::garbage(garbage.due_ns, &garbage.content_id));
        state.delete(Table::Blob, rows::content(&garbage.content_id));
        return Ok(super::done());
    }
    let pins = rows::pins(&garbage.content_id);
    let end = crate::engine::after_prefix(&pins);
    if !state.scan(Table::Blob, &pins, &end, 1)?.is_empty() {
        return Ok(refused);
    }
    content.is_dropped = true;
    store(state, &garbage.content_id, garbage.due_ns, &content);
    Ok(super::done())
}

/// A reader still needs the content: the collector comes again later.
pub(super) fn postpone(
    state: &mut Transaction<'_>,
    directory: &Directory<'_>,
    garbage: &BlobGarbage,
) -> Result<StorageReply, Error> {
    if let Some(mut content) = load(state, &garbage.content_id)?
        && content.garbage_due_ns == garbage.due_ns
    {
        content.garbage_due_ns = directory.garbage_due_ns.max(1);
        store(state, &garbage.content_id, garbage.due_ns, &content);
    }
    Ok(super::done())
}

pub(super) fn drop_pins(state: &mut Transaction<'_>, pins: &DropPins) -> StorageReply {
    for reader in &pins.readers {
        state.delete(Table::Blob, rows::pin(&pins.content_id, reader));
    }
    super::done()
}
