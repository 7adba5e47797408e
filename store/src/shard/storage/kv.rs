//! Keys with values, in buckets of applications.

use std::collections::BTreeMap;

use bytes::Bytes;
use kiln_proto::v1::{
    CombineKey, KeyChange, KeyRow, KeyUsage, StorageReply, WriteKeys, combine_key::Combination,
    storage_reply::Refusal,
};

use super::{super::record, refusal::refuse, rows, writer};
use crate::{Error, Table, Transaction};

/// Expired keys that one write removes at most, so that no write takes long.
const EXPIRED_AT_ONCE: usize = 8;

/// Sets and deletes keys.
pub(super) fn write(state: &mut Transaction<'_>, write: &WriteKeys) -> Result<StorageReply, Error> {
    writer::once(state, write.writer.as_ref(), write.at_ns, |state| {
        let mut usage = Usage::load(state, &write.application)?;
        if !fits(state, &usage, &write.bucket, &write.changes, write.room.as_ref())? {
            return Ok(refuse(Refusal::KeyQuota));
        }
        for change in &write.changes {
            put(state, &mut usage, &write.bucket, change)?;
        }
        usage.store(state);
        remove_expired(state, write.at_ns)?;
        Ok(super::done())
    })
}

/// Changes a number. The answer is final once it was given: a repetition gets the same.
pub(super) fn combine(state: &mut Transaction<'_>, combine: &CombineKey) -> Result<StorageReply, Error> {
    writer::once(state, combine.writer.as_ref(), combine.at_ns, |state| {
        let key = rows::key(&combine.application, &combine.bucket, &combine.key);
        let found = state.get(Table::Kv, &key)?.map(|row| decode(&row)).transpose()?;
        let found = found.filter(|row| is_alive(row, combine.at_ns));
        let Ok(number) = found.as_ref().map(|row| number(&row.value)).transpose() else {
            return Ok(refuse(Refusal::NotANumber));
        };
        let (new, reply) = match &combine.combination {
            Some(Combination::Increment(delta)) => match number.unwrap_or(0).checked_add(*delta) {
                Some(new) => (
                    new,
                    StorageReply {
                        number: new,
                        ..StorageReply::default()
                    },
                ),
                None => return Ok(refuse(Refusal::Overflow)),
            },
            Some(Combination::CompareAndSwap(swap)) if number == Some(swap.old) => (
                swap.new,
                StorageReply {
                    swapped: true,
                    ..StorageReply::default()
                },
            ),
            _ => return Ok(super::done()),
        };
        let change = KeyChange {
            key: combine.key.clone(),
            value: Some(new.to_string().into()),
            expires_at_ns: found.map_or(0, |row| row.expires_at_ns),
        };
        let mut usage = Usage::load(state, &combine.application)?;
        let changes = std::slice::from_ref(&change);
        if !fits(state, &usage, &combine.bucket, changes, combine.room.as_ref())? {
            return Ok(refuse(Refusal::KeyQuota));
        }
        put(state, &mut usage, &combine.bucket, &change)?;
        usage.store(state);
        Ok(reply)
    })
}

/// Decimal text, so that every language and every operator can read and write it.
fn number(value: &[u8]) -> Result<u64, ()> {
    let text = std::str::from_utf8(value).map_err(|_| ())?;
    text.trim().parse().map_err(|_| ())
}

/// The changes add no more than there is room for. What adds nothing always fits, also beyond a quota.
fn fits(
    state: &Transaction<'_>,
    usage: &Usage<'_>,
    bucket: &str,
    changes: &[KeyChange],
    room: Option<&KeyUsage>,
) -> Result<bool, Error> {
    let Some(room) = room else { return Ok(true) };
    // Of several changes of one key the last counts.
    let last: BTreeMap<&str, &KeyChange> = changes
        .iter()
        .map(|change| (change.key.as_str(), change))
        .collect();
    let (mut added, mut removed) = (KeyUsage::default(), KeyUsage::default());
    for (name, change) in last {
        let size = |value: &Bytes| (name.len() + value.len()) as u64;
        if let Some(row) = state.get(Table::Kv, &rows::key(usage.application, bucket, name))? {
            removed.keys += 1;
            removed.bytes += size(&decode(&row)?.value);
        }
        if let Some(value) = &change.value {
            added.keys += 1;
            added.bytes += size(value);
        }
    }
    let fits = |added: u64, removed: u64, room: u64| added.saturating_sub(removed) <= room;
    Ok(fits(added.keys, removed.keys, room.keys) && fits(added.bytes, removed.bytes, room.bytes))
}

fn put(
    state: &mut Transaction<'_>,
    usage: &mut Usage<'_>,
    bucket: &str,
    change: &KeyChange,
) -> Result<(), Error> {
    let key = rows::key(usage.application, bucket, &change.key);
    let old = state.get(Table::Kv, &key)?.map(|row| decode(&row)).transpose()?;
    if let Some(old) = &old {
        usage.remove(&change.key, &old.value)?;
        if old.expires_at_ns > 0 {
            state.delete(Table::Kv, rows::key_expiry(old.expires_at_ns, &key));
        }
    }
    let Some(value) = &change.value else {
        state.delete(Table::Kv, key);
        return Ok(());
    };
    usage.add(&change.key, value);
    if change.expires_at_ns > 0 {
        state.put(
            Table::Kv,
            rows::key_expiry(change.expires_at_ns, &key),
            record::encode(&expiry(usage.application, change)),
        );
    }
    let row = KeyRow {
        value: value.clone(),
        expires_at_ns: change.expires_at_ns,
    };
    state.put(Table::Kv, key, record::encode(&row));
    Ok(())
}

/// What has to be known of a key to remove it: to whom it counts, and how long it is.
fn expiry(application: &str, change: &KeyChange) -> WriteKeys {
    WriteKeys {
        application: application.to_owned(),
        changes: vec![KeyChange {
            key: change.key.clone(),
            ..KeyChange::default()
        }],
        ..WriteKeys::default()
    }
}

fn remove_expired(state: &mut Transaction<'_>, at_ns: u64) -> Result<(), Error> {
    let end = rows::key_expiry(at_ns.saturating_add(1), &[]);
    for (queued, what) in state.scan(Table::Kv, rows::KEY_EXPIRIES, &end, EXPIRED_AT_ONCE)? {
        let expired: WriteKeys = record::decode("a key that expires", &what)?;
        let (_, key) = rows::due(&queued)?;
        if let Some(row) = state.get(Table::Kv, key)? {
            let mut usage = Usage::load(state, &expired.application)?;
            for change in &expired.changes {
                usage.remove(&change.key, &decode(&row)?.value)?;
            }
            usage.store(state);
            state.delete(Table::Kv, key);
        }
        state.delete(Table::Kv, queued);
    }
    Ok(())
}

pub(super) fn decode(row: &Bytes) -> Result<KeyRow, Error> {
    record::decode("a key's row", row)
}

/// The key has not expired.
pub(super) fn is_alive(row: &KeyRow, at_ns: u64) -> bool {
    row.expires_at_ns == 0 || row.expires_at_ns > at_ns
}

/// What an application has in this shard.
struct Usage<'a> {
    application: &'a str,
    count: KeyUsage,
}

impl<'a> Usage<'a> {
    fn load(state: &Transaction<'_>, application: &'a str) -> Result<Self, Error> {
        let row = state.get(Table::Kv, &rows::key_usage(application))?;
        let count = row.map_or(Ok(KeyUsage::default()), |row| {
            record::decode("an application's use of keys", &row)
        })?;
        Ok(Self { application, count })
    }

    fn add(&mut self, key: &str, value: &[u8]) {
        self.count.keys += 1;
        self.count.bytes += (key.len() + value.len()) as u64;
    }

    fn remove(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        let negative = || Error::Corrupt("an application's use of keys is negative".into());
        self.count.keys = self.count.keys.checked_sub(1).ok_or_else(negative)?;
        let size = (key.len() + value.len()) as u64;
        self.count.bytes = self.count.bytes.checked_sub(size).ok_or_else(negative)?;
        Ok(())
    }

    fn store(self, state: &mut Transaction<'_>) {
        let key = rows::key_usage(self.application);
        if self.count == KeyUsage::default() {
            state.delete(Table::Kv, key);
        } else {
            state.put(Table::Kv, key, record::encode(&self.count));
        }
    }
}
