use bytes::Bytes;
use kiln_proto::{ids::OplogIndex, v1::OplogEntry};
use prost::Message;

use super::Error;

/// Encoded entries that are not yet committed.
pub(super) struct Tail {
    first: OplogIndex,
    entries: Vec<Bytes>,
    bytes: usize,
    health: Health,
}

/// Whether it is known where the oplog ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Sound,
    /// A commit is under way. Still so when the next one begins: the one before was dropped halfway.
    InDoubt,
    Broken,
}

impl Tail {
    pub(super) fn after(last: OplogIndex) -> Self {
        Self {
            first: last.next(),
            entries: Vec::new(),
            bytes: 0,
            health: Health::Sound,
        }
    }

    pub(super) fn next_index(&self) -> OplogIndex {
        OplogIndex(self.first.0 + self.entries.len() as u64)
    }

    pub(super) fn push(&mut self, entry: &OplogEntry) -> OplogIndex {
        let index = self.next_index();
        let encoded = entry.encode_to_vec();
        self.bytes += encoded.len();
        self.entries.push(encoded.into());
        index
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Encoded size of all entries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_broken(&self) -> bool {
        self.health == Health::Broken
    }

    /// Removes all entries to commit them, with the index of the first. [`Tail::settle`] has to follow.
    pub(super) fn take(&mut self) -> Result<(OplogIndex, Vec<Bytes>), Error> {
        if self.health != Health::Sound {
            self.health = Health::Broken;
            return Err(Error::Broken);
        }
        let first = self.first;
        self.first = self.next_index();
        self.bytes = 0;
        let entries = std::mem::take(&mut self.entries);
        if !entries.is_empty() {
            self.health = Health::InDoubt;
        }
        Ok((first, entries))
    }

    /// Says how the commit of what was taken ended.
    pub(super) fn settle(&mut self, committed: bool) {
        self.health = if committed { Health::Sound } else { Health::Broken };
    }
}
