use bytes::Bytes;
use kiln_proto::{ids::OplogIndex, v1::OplogEntry};
use prost::Message;

use super::Error;

/// Encoded entries that are not yet committed.
pub(super) struct Tail {
    first: OplogIndex,
    entries: Vec<Bytes>,
    broken: bool,
}

impl Tail {
    pub(super) fn after(last: OplogIndex) -> Self {
        Self {
            first: last.next(),
            entries: Vec::new(),
            broken: false,
        }
    }

    pub(super) fn next_index(&self) -> OplogIndex {
        OplogIndex(self.first.0 + self.entries.len() as u64)
    }

    pub(super) fn push(&mut self, entry: &OplogEntry) -> OplogIndex {
        let index = self.next_index();
        self.entries.push(entry.encode_to_vec().into());
        index
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Removes all entries, with the index of the first.
    pub(super) fn take(&mut self) -> Result<(OplogIndex, Vec<Bytes>), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let first = self.first;
        self.first = self.next_index();
        Ok((first, std::mem::take(&mut self.entries)))
    }

    /// From here on commits fail, until [`Tail::mend`].
    pub(super) fn break_off(&mut self) {
        self.broken = true;
    }

    pub(super) fn mend(&mut self) {
        self.broken = false;
    }
}
