use kiln_proto::{
    Error,
    ids::ShardId,
    v1::{FilterNode, ShardPosition},
};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use super::{local::Wanted, seal::Seal};
use crate::route::Map;

/// First byte of what a cursor holds.
const LIST_FORMAT: u8 = 2;
const WATCH_FORMAT: u8 = 1;
/// Format, query, shard, position: a name has at most 512 characters of four bytes.
const LIST_BYTES_MAX: usize = 1 + 8 + 4 + 64 + 512 * 4;
/// Format, query, and a number for each shard.
const WATCH_BYTES_MAX: usize = 1 + 8 + 10 * kiln_proto::hash::SHARDS_MAX as usize;

/// Where a page ended: all shards before `shard` are done, and in `shard` all workers up to `after`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mark {
    pub(super) shard: ShardId,
    pub(super) after: Option<ShardPosition>,
}

/// Makes cursors of marks for one query, and marks of its cursors.
pub(super) struct Cursors {
    seal: Seal,
    /// Digest of what is listed: a cursor does not go on in another list.
    query: u64,
}

impl Cursors {
    pub(super) fn new(map: &Map, wanted: &Wanted) -> Result<Self, Error> {
        let secret = match map.wire.secret.as_ref() {
            // Founded before there were secrets: still the same on all nodes, and no other cluster's.
            [] => map.wire.cluster_id.as_bytes(),
            secret => secret,
        };
        let mut query = wanted.component_bytes().to_vec();
        query.extend(FilterNode::from(&wanted.filter).encode_to_vec());
        Ok(Self {
            seal: Seal::new(secret, "kiln cursor 1")?,
            query: xxh3_64(&query),
        })
    }

    pub(super) fn mark(&self, mark: &Mark) -> String {
        let mut bytes = vec![LIST_FORMAT];
        bytes.extend_from_slice(&self.query.to_be_bytes());
        bytes.extend_from_slice(&mark.shard.0.to_be_bytes());
        if let Some(after) = &mark.after {
            bytes.extend(after.encode_to_vec());
        }
        self.seal.close(&bytes)
    }

    /// # Errors
    /// `INVALID` for a text that is no cursor of this cluster, or one of another query.
    pub(super) fn read_mark(&self, text: &str) -> Result<Mark, Error> {
        let content = self.content(text, LIST_FORMAT, LIST_BYTES_MAX)?;
        let (shard, after) = content.split_first_chunk().ok_or_else(foreign)?;
        let after = (!after.is_empty()).then(|| ShardPosition::decode(after));
        Ok(Mark {
            shard: ShardId(u32::from_be_bytes(*shard)),
            after: after.transpose().map_err(|_| foreign())?,
        })
    }

    /// The last known change of each shard.
    pub(super) fn changes(&self, changes: &[u64]) -> String {
        let mut bytes = vec![WATCH_FORMAT];
        bytes.extend_from_slice(&self.query.to_be_bytes());
        for change in changes {
            // No call fails: a buffer of bytes grows.
            prost::encoding::encode_varint(*change, &mut bytes);
        }
        self.seal.close(&bytes)
    }

    /// # Errors
    /// As [`read_mark`](Self::read_mark).
    pub(super) fn read_changes(&self, text: &str, shards: usize) -> Result<Vec<u64>, Error> {
        let content = self.content(text, WATCH_FORMAT, WATCH_BYTES_MAX)?;
        let mut rest = content.as_slice();
        let mut changes = Vec::new();
        while !rest.is_empty() {
            changes.push(prost::encoding::decode_varint(&mut rest).map_err(|_| foreign())?);
        }
        if changes.len() == shards {
            Ok(changes)
        } else {
            Err(foreign())
        }
    }

    fn content(&self, text: &str, format: u8, length_max: usize) -> Result<Vec<u8>, Error> {
        let bytes = self.seal.open(text, length_max).ok_or_else(foreign)?;
        let rest = bytes.strip_prefix(&[format]).ok_or_else(|| {
            Error::invalid("the cursor is of another kind or version")
                .with_hint("begin again without a cursor")
        })?;
        let (query, content) = rest.split_first_chunk().ok_or_else(foreign)?;
        if u64::from_be_bytes(*query) != self.query {
            return Err(
                Error::invalid("the cursor belongs to another component or filter").with_hint(
                    "give the component and filters of the page before, or begin again without a cursor",
                ),
            );
        }
        Ok(content.to_vec())
    }
}

fn foreign() -> Error {
    Error::invalid("the cursor is none that this cluster gave out").with_hint("begin again without a cursor")
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1::{ClusterMap, shard_position::Position};
    use proptest::prelude::*;

    use super::*;
    use crate::enumerate::filter::Filter;

    fn cursors(secret: &'static [u8], filter: &str) -> Cursors {
        let view = crate::route::ClusterView::default();
        view.update(ClusterMap {
            secret: secret.into(),
            ..ClusterMap::default()
        });
        let wanted = Wanted {
            component: None,
            filter: Filter::parse_all(&[filter]).expect("valid"),
        };
        Cursors::new(&view.map(), &wanted).expect("a key")
    }

    fn mark() -> Mark {
        Mark {
            shard: ShardId(4095),
            after: Some(ShardPosition {
                position: Some(Position::Number(77)),
            }),
        }
    }

    #[test]
    fn survives_the_way_through_a_caller() {
        let cursors = cursors(b"secret", "version = 1");
        assert_eq!(
            cursors.read_mark(&cursors.mark(&mark())).expect("its own"),
            mark()
        );
        let changes = [0, 1, u64::MAX];
        assert_eq!(
            cursors
                .read_changes(&cursors.changes(&changes), 3)
                .expect("its own"),
            changes
        );
        assert!(cursors.read_changes(&cursors.changes(&changes), 4).is_err());
        assert!(cursors.read_mark(&cursors.changes(&changes)).is_err());
    }

    #[test]
    fn a_changed_cursor_or_one_from_elsewhere_is_refused() {
        let ours = cursors(b"secret", "version = 1");
        let text = ours.mark(&mark());
        assert!(cursors(b"other", "version = 1").read_mark(&text).is_err());
        assert!(cursors(b"secret", "version = 2").read_mark(&text).is_err());
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(
                ours.read_mark(std::str::from_utf8(&changed).expect("ASCII"))
                    .is_err()
            );
        }
    }

    proptest! {
        #[test]
        fn forged_ones_never_panic(text in ".{0,120}") {
            prop_assert!(cursors(b"secret", "version = 1").read_mark(&text).is_err());
        }
    }
}
