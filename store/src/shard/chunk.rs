//! Oplog chunks: the entries of one append as one value, behind a checksum.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kiln_proto::ids::OplogIndex;

use crate::Error;

const VERSION: u8 = 1;

/// Version, checksum, number of entries.
const HEADER: usize = 1 + 4 + 4;

pub(super) fn encode(entries: &[Bytes]) -> Bytes {
    let length: usize = entries.iter().map(|entry| 4 + entry.len()).sum();
    let mut bytes = BytesMut::with_capacity(HEADER + length);
    bytes.put_u8(VERSION);
    bytes.put_u32_le(0);
    bytes.put_u32_le(u32::try_from(entries.len()).expect("an append is far below 4 G entries"));
    for entry in entries {
        bytes.put_u32_le(u32::try_from(entry.len()).expect("an entry is far below 4 GiB"));
        bytes.put_slice(entry);
    }
    let checksum = crc32c::crc32c(&bytes[5..]);
    bytes[1..5].copy_from_slice(&checksum.to_le_bytes());
    bytes.freeze()
}

/// The entries of a chunk, each a slice of it, with their indexes.
pub(super) fn decode(first: OplogIndex, chunk: Bytes) -> Result<Vec<(OplogIndex, Bytes)>, Error> {
    decode_from(first, chunk, first)?.collect()
}

/// The entries of a chunk from an index on.
pub(super) fn decode_from(first: OplogIndex, mut chunk: Bytes, from: OplogIndex) -> Result<Entries, Error> {
    if chunk.len() < HEADER {
        return Err(corrupt(first, "is too short"));
    }
    match chunk.get_u8() {
        VERSION => {}
        version => return Err(corrupt(first, &format!("has the unknown version {version}"))),
    }
    if chunk.get_u32_le() != crc32c::crc32c(&chunk) {
        return Err(corrupt(first, "has a wrong checksum"));
    }
    let count = u64::from(chunk.get_u32_le());
    let mut entries = Entries {
        first,
        next: first,
        end: OplogIndex(first.0.saturating_add(count)),
        rest: chunk,
    };
    while entries.next < from.min(entries.end) {
        let length = entries.length()?;
        entries.rest.advance(length);
        entries.next = entries.next.next();
    }
    Ok(entries)
}

/// What is left of a chunk.
pub(super) struct Entries {
    first: OplogIndex,
    next: OplogIndex,
    end: OplogIndex,
    rest: Bytes,
}

impl Entries {
    /// Of the next entry, which is there as a whole.
    fn length(&mut self) -> Result<usize, Error> {
        let length = self.rest.try_get_u32_le();
        let length = length.ok().and_then(|length| usize::try_from(length).ok());
        length
            .filter(|length| *length <= self.rest.len())
            .ok_or_else(|| corrupt(self.first, "is cut off"))
    }
}

impl Iterator for Entries {
    type Item = Result<(OplogIndex, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let index = self.next;
        self.next = index.next();
        Some(self.length().map(|length| (index, self.rest.split_to(length))))
    }
}

fn corrupt(first: OplogIndex, what: &str) -> Error {
    Error::Corrupt(format!("the oplog chunk at {first} {what}"))
}

/// The index of a chunk's first entry, from the chunk's key.
pub(super) fn first(key: &[u8]) -> Result<OplogIndex, Error> {
    let malformed = || Error::Corrupt("an oplog chunk has a malformed key".into());
    super::keys::number_at(key, 8)
        .map(OplogIndex)
        .ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_and_damage_is_seen() {
        let entries = [Bytes::from_static(b"a"), Bytes::new(), Bytes::from_static(b"ccc")];
        let chunk = encode(&entries);
        let decoded = decode(OplogIndex(7), chunk.clone()).expect("decodes");
        let expected: Vec<_> = (7..).map(OplogIndex).zip(entries).collect();
        assert_eq!(decoded, expected);
        for from in 0..4 {
            let entries = decode_from(OplogIndex(7), chunk.clone(), OplogIndex(7 + from as u64));
            let rest: Result<Vec<_>, _> = entries.expect("decodes").collect();
            assert_eq!(rest.expect("decodes"), expected[from..]);
        }
        for at in 0..chunk.len() {
            let mut damaged = chunk.to_vec();
            damaged[at] ^= 0x10;
            assert!(decode(OplogIndex(7), damaged.into()).is_err(), "byte {at}");
        }
    }
}
