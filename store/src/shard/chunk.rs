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
pub(super) fn decode(first: OplogIndex, mut chunk: Bytes) -> Result<Vec<(OplogIndex, Bytes)>, Error> {
    let corrupt = |what: &str| Error::Corrupt(format!("the oplog chunk at {first} {what}"));
    if chunk.len() < HEADER {
        return Err(corrupt("is too short"));
    }
    match chunk.get_u8() {
        VERSION => {}
        version => return Err(corrupt(&format!("has the unknown version {version}"))),
    }
    if chunk.get_u32_le() != crc32c::crc32c(&chunk) {
        return Err(corrupt("has a wrong checksum"));
    }
    let count = u64::from(chunk.get_u32_le());
    (0..count)
        .map(|offset| {
            let length = chunk.try_get_u32_le().map_err(|_| corrupt("is cut off"))? as usize;
            if chunk.len() < length {
                return Err(corrupt("is cut off"));
            }
            Ok((OplogIndex(first.0 + offset), chunk.split_to(length)))
        })
        .collect()
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
        for at in 0..chunk.len() {
            let mut damaged = chunk.to_vec();
            damaged[at] ^= 0x10;
            assert!(decode(OplogIndex(7), damaged.into()).is_err(), "byte {at}");
        }
    }
}
