use kiln_proto::{
    Error,
    ids::{ComponentId, ShardId, WorkerId},
};

/// First byte of an encoded cursor.
const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// Format, shard, component; then the name and the checksum.
const HEADER_BYTES: usize = 1 + 4 + 16;
/// Four bytes a character at most, and everything twice for hexadecimal digits.
const TEXT_LENGTH_MAX: usize = 2 * (HEADER_BYTES + 512 * 4 + CHECKSUM_BYTES);

/// Where a page ended: all shards before `shard` are done, and in `shard` all workers up to `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) shard: ShardId,
    pub(super) after: WorkerId,
}

impl Cursor {
    /// Opaque text for callers.
    pub(super) fn encode(&self) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.shard.0.to_be_bytes());
        bytes.extend_from_slice(self.after.component.as_bytes());
        bytes.extend_from_slice(self.after.name.as_str().as_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads what [`Cursor::encode`] made.
    ///
    /// # Errors
    /// `INVALID` for anything else.
    pub(super) fn decode(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| {
            Error::invalid("the cursor is none that this cluster gave out")
                .with_hint("begin again without a cursor")
        })
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > TEXT_LENGTH_MAX {
            return None;
        }
        let bytes = unhex(text)?;
        let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        if crc32c::crc32c(content) != u32::from_be_bytes(*checksum) || content.first() != Some(&FORMAT) {
            return None;
        }
        let (header, name) = content.split_at_checked(HEADER_BYTES)?;
        let name = std::str::from_utf8(name).ok()?.parse().ok()?;
        Some(Self {
            shard: ShardId(u32::from_be_bytes(header[1..5].try_into().ok()?)),
            after: WorkerId {
                component: ComponentId::from_slice(&header[5..]).ok()?,
                name,
            },
        })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn survives_the_way_through_a_caller() {
        let component = ComponentId(uuid::Uuid::from_u128(77));
        let cursor = Cursor {
            shard: ShardId(4095),
            after: WorkerId {
                component,
                name: "ä".parse().expect("valid"),
            },
        };
        assert_eq!(Cursor::decode(&cursor.encode()).expect("its own"), cursor);
    }

    #[test]
    fn a_changed_cursor_is_refused() {
        let component = ComponentId(uuid::Uuid::from_u128(77));
        let cursor = Cursor {
            shard: ShardId(1),
            after: WorkerId {
                component,
                name: "a".parse().expect("valid"),
            },
        };
        let text = cursor.encode();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(Cursor::decode(std::str::from_utf8(&changed).expect("ASCII")).is_err());
        }
    }

    proptest! {
        #[test]
        fn forged_ones_never_panic(text in ".{0,120}") {
            prop_assert!(Cursor::decode(&text).is_err());
        }
    }
}
