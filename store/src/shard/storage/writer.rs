//! Applies each write once.
//!
//! A worker makes one write at a time, and only after everything before it is in its oplog. So a repeated write, by the
//! same owner, by the next one, or by one that does not know yet that it was replaced, has the position of the first
//! attempt and asks for the same. One row for each writer is enough: it holds the newest position that was applied here
//! with the reply. An equal position is a repetition and gets that reply. A lower one comes from an owner that was
//! replaced meanwhile, and has nobody left who waits for it.
//!
//! Rows of workers stay until the worker is deleted: it may repeat its last write after any time. Those of operators'
//! sessions go after an hour.

use std::cmp::Ordering;

use kiln_proto::v1::{ForgetWriters, StorageReply, StorageWriter, WriterRow, storage_reply::Refusal};

use super::{super::record, refusal::refuse, rows};
use crate::{Error, Table, Transaction};

/// An operator's session that has not written for so long is forgotten.
const TRANSIENT_AGE_MAX_NS: u64 = 3_600_000_000_000;

/// Forgotten with one write at most, so that no write takes long.
const FORGOTTEN_AT_ONCE: usize = 4;

/// Applies a write unless it was applied before.
pub(super) fn once(
    state: &mut Transaction<'_>,
    writer: Option<&StorageWriter>,
    at_ns: u64,
    apply: impl FnOnce(&mut Transaction<'_>) -> Result<StorageReply, Error>,
) -> Result<StorageReply, Error> {
    let Some(writer) = writer else {
        return apply(state);
    };
    let key = rows::writer(&writer.writer);
    let known: Option<WriterRow> = state
        .get(Table::Kv, &key)?
        .map(|row| record::decode("a writer's row", &row))
        .transpose()?;
    if let Some(known) = &known {
        match order(writer).cmp(&known.last.as_ref().map(order).unwrap_or_default()) {
            Ordering::Equal => return Ok(known.reply.clone().unwrap_or_default()),
            Ordering::Less => return Ok(refuse(Refusal::Superseded)),
            Ordering::Greater => {}
        }
    }
    let reply = apply(state)?;
    if writer.is_transient {
        if let Some(known) = &known {
            state.delete(Table::Kv, rows::writer_age(known.at_ns, &writer.writer));
        }
        state.put(Table::Kv, rows::writer_age(at_ns, &writer.writer), Vec::new());
        forget_old(state, at_ns)?;
    }
    let row = WriterRow {
        last: Some(writer.clone()),
        reply: Some(reply.clone()),
        at_ns,
    };
    state.put(Table::Kv, key, record::encode(&row));
    Ok(reply)
}

fn order(writer: &StorageWriter) -> (u64, u64, u32) {
    (writer.incarnation, writer.position, writer.step)
}

fn forget_old(state: &mut Transaction<'_>, at_ns: u64) -> Result<(), Error> {
    let end = rows::writer_age(at_ns.saturating_sub(TRANSIENT_AGE_MAX_NS), &[]);
    for (key, _) in state.scan(Table::Kv, rows::WRITER_AGES, &end, FORGOTTEN_AT_ONCE)? {
        let (_, writer) = rows::due(&key)?;
        state.delete(Table::Kv, rows::writer(writer));
        state.delete(Table::Kv, key);
    }
    Ok(())
}

/// Forgets writers, unless they have written again since.
pub(super) fn forget(state: &mut Transaction<'_>, forget: &ForgetWriters) -> Result<StorageReply, Error> {
    for writer in &forget.writers {
        let key = rows::writer(&writer.writer);
        let Some(row) = state.get(Table::Kv, &key)? else {
            continue;
        };
        let known: WriterRow = record::decode("a writer's row", &row)?;
        if known.last.as_ref() == Some(writer) {
            state.delete(Table::Kv, key);
        }
    }
    Ok(super::done())
}
