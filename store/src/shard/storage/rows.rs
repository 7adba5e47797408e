//! Keys of the rows of keys and blobs. Part of the storage format.
//!
//! Names in the middle of a key stand behind their length, so that no name runs into what follows it.

use crate::Error;

const KEY_USAGE: u8 = 1;
const KEY: u8 = 2;
const WRITER: u8 = 3;
const WRITER_AGE: u8 = 4;
const KEY_EXPIRY: u8 = 5;

const BLOB_USAGE: u8 = 1;
const CONTAINER: u8 = 2;
const OBJECT: u8 = 3;
const CONTENT: u8 = 4;
const GARBAGE: u8 = 5;
const PIN: u8 = 6;
const DEAD_CONTAINER: u8 = 7;
const CHUNK: u8 = 8;
const NEXT_CONTAINER: u8 = 9;

/// The number of the next container of this shard.
pub(super) const NEXT_CONTAINER_ROW: &[u8] = &[NEXT_CONTAINER];
pub(super) const KEY_USAGES: &[u8] = &[KEY_USAGE];
pub(super) const BLOB_USAGES: &[u8] = &[BLOB_USAGE];
pub(super) const WRITERS: &[u8] = &[WRITER];
pub(super) const WRITER_AGES: &[u8] = &[WRITER_AGE];
pub(super) const KEY_EXPIRIES: &[u8] = &[KEY_EXPIRY];
pub(super) const GARBAGE_QUEUE: &[u8] = &[GARBAGE];
pub(super) const DEAD_CONTAINERS: &[u8] = &[DEAD_CONTAINER];

/// Begins a key with a name behind its length.
fn named(tag: u8, name: &str) -> Vec<u8> {
    let mut key = vec![tag];
    push_name(&mut key, name);
    key
}

fn push_name(key: &mut Vec<u8>, name: &str) {
    let length = u32::try_from(name.len()).expect("a name is far below 4 GiB");
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
}

pub(super) fn key_usage(application: &str) -> Vec<u8> {
    [&[KEY_USAGE], application.as_bytes()].concat()
}

/// Prefix of an application's keys.
pub(super) fn keys_of_application(application: &str) -> Vec<u8> {
    named(KEY, application)
}

/// Prefix of a bucket's keys.
pub(super) fn keys_of_bucket(application: &str, bucket: &str) -> Vec<u8> {
    let mut key = named(KEY, application);
    push_name(&mut key, bucket);
    key
}

pub(super) fn key(application: &str, bucket: &str, key: &str) -> Vec<u8> {
    let mut row = keys_of_bucket(application, bucket);
    row.extend_from_slice(key.as_bytes());
    row
}

/// The name that stands behind its length at the front of what is left of a key.
pub(super) fn leading_name(rest: &[u8]) -> Result<&str, Error> {
    let malformed = || Error::Corrupt("the key of a stored key is malformed".into());
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    let name = rest
        .get(..u32::from_be_bytes(*length) as usize)
        .ok_or_else(malformed)?;
    std::str::from_utf8(name).map_err(|_| malformed())
}

pub(super) fn writer(writer: &[u8]) -> Vec<u8> {
    [WRITERS, writer].concat()
}

pub(super) fn writer_age(at_ns: u64, writer: &[u8]) -> Vec<u8> {
    [WRITER_AGES, &at_ns.to_be_bytes(), writer].concat()
}

/// `key` is that of the row which expires.
pub(super) fn key_expiry(expires_at_ns: u64, key: &[u8]) -> Vec<u8> {
    [KEY_EXPIRIES, &expires_at_ns.to_be_bytes(), key].concat()
}

/// Splits the key of a queue: when it is due, and what.
pub(super) fn due(key: &[u8]) -> Result<(u64, &[u8]), Error> {
    let malformed = || Error::Corrupt("a row of a queue has a malformed key".into());
    let rest = key.get(1..).ok_or_else(malformed)?;
    let (at_ns, what) = rest.split_first_chunk::<8>().ok_or_else(malformed)?;
    Ok((u64::from_be_bytes(*at_ns), what))
}

pub(super) fn blob_usage(application: &str) -> Vec<u8> {
    [BLOB_USAGES, application.as_bytes()].concat()
}

/// Prefix of an application's containers.
pub(super) fn containers(application: &str) -> Vec<u8> {
    named(CONTAINER, application)
}

pub(super) fn container(application: &str, container: &str) -> Vec<u8> {
    let mut key = containers(application);
    key.extend_from_slice(container.as_bytes());
    key
}

/// Prefix of a container's objects.
pub(super) fn objects(container: u64) -> Vec<u8> {
    [&[OBJECT][..], &container.to_be_bytes()].concat()
}

pub(super) fn object(container: u64, object: &str) -> Vec<u8> {
    [&objects(container), object.as_bytes()].concat()
}

pub(super) fn content(content_id: &[u8]) -> Vec<u8> {
    [&[CONTENT], content_id].concat()
}

pub(super) fn garbage(due_ns: u64, content_id: &[u8]) -> Vec<u8> {
    [GARBAGE_QUEUE, &due_ns.to_be_bytes(), content_id].concat()
}

/// Prefix of the readers of a content. No content's id is the beginning of another one.
pub(super) fn pins(content_id: &[u8]) -> Vec<u8> {
    [&[PIN], content_id].concat()
}

pub(super) fn pin(content_id: &[u8], reader: &[u8]) -> Vec<u8> {
    [&[PIN], content_id, reader].concat()
}

pub(super) fn dead_container(number: u64) -> Vec<u8> {
    [DEAD_CONTAINERS, &number.to_be_bytes()].concat()
}

pub(super) fn chunk(content_id: &[u8], chunk: u32) -> Vec<u8> {
    [&[CHUNK], content_id, &chunk.to_be_bytes()[..]].concat()
}
