use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{Epoch, OplogIndex, WorkerId},
    v1::OplogEntry,
};
use parking_lot::Mutex;
use prost::Message;

use super::{OplogStore, store::PageLimits};

/// The oplog of a single worker in a vector, for tests and for runs that nobody needs to remember.
#[derive(Default)]
pub struct MemoryOplog {
    entries: Mutex<Vec<Bytes>>,
}

impl From<Vec<Bytes>> for MemoryOplog {
    /// Takes encoded entries as they are.
    fn from(entries: Vec<Bytes>) -> Self {
        Self {
            entries: Mutex::new(entries),
        }
    }
}

impl MemoryOplog {
    /// All entries, encoded.
    #[must_use]
    pub fn encoded(&self) -> Vec<Bytes> {
        self.entries.lock().clone()
    }

    /// Index of the last entry.
    #[must_use]
    pub fn last(&self) -> OplogIndex {
        OplogIndex(self.entries.lock().len() as u64)
    }

    /// All entries, decoded.
    ///
    /// # Errors
    /// `CORRUPT` when one cannot be decoded.
    pub fn entries(&self) -> Result<Vec<OplogEntry>, Error> {
        let decode =
            |bytes: &Bytes| OplogEntry::decode(bytes.clone()).map_err(|e| Error::corrupt(e.to_string()));
        self.entries.lock().iter().map(decode).collect()
    }

    /// Drops all entries after `last`, as a crash before their commit would.
    pub fn truncate(&self, last: OplogIndex) {
        self.entries
            .lock()
            .truncate(usize::try_from(last.0).unwrap_or(usize::MAX));
    }
}

#[async_trait::async_trait]
impl OplogStore for MemoryOplog {
    async fn append(
        &self,
        _worker: &WorkerId,
        _epoch: Epoch,
        first: OplogIndex,
        entries: Vec<Bytes>,
    ) -> Result<(), Error> {
        let mut stored = self.entries.lock();
        if first.0 != stored.len() as u64 + 1 {
            return Err(Error::conflict(format!(
                "expected index {}, not {first}",
                stored.len() + 1
            )));
        }
        stored.extend(entries);
        Ok(())
    }

    fn read(
        &self,
        _worker: &WorkerId,
        from: OplogIndex,
        limits: PageLimits,
    ) -> Result<Vec<(OplogIndex, Bytes)>, Error> {
        let stored = self.entries.lock();
        let skip = usize::try_from(from.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let page = stored.iter().enumerate().skip(skip).take(limits.entries_max);
        Ok(page
            .map(|(at, bytes)| (OplogIndex(at as u64 + 1), bytes.clone()))
            .collect())
    }
}
