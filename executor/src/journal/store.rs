use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{Epoch, OplogIndex, WorkerId},
};

/// Where the committed entries of a worker live.
#[async_trait::async_trait]
pub trait OplogStore: Send + Sync + 'static {
    /// Appends encoded entries; the first gets index `first`. Returns once they are durable.
    ///
    /// # Errors
    /// `FENCED` for an old epoch, `CONFLICT` when `first` is not the index after the last, `UNAVAILABLE` when the
    /// outcome is unknown.
    async fn append(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        first: OplogIndex,
        entries: Vec<Bytes>,
    ) -> Result<(), Error>;

    /// Reads a page of consecutive entries from `from`, at least one if it exists. A short local read, hence not async:
    /// host functions that replay must not pay for a suspension.
    ///
    /// # Errors
    /// When the storage engine fails.
    fn read(
        &self,
        worker: &WorkerId,
        from: OplogIndex,
        limits: PageLimits,
    ) -> Result<Vec<(OplogIndex, Bytes)>, Error>;
}

/// How large a page may be.
#[derive(Debug, Clone, Copy)]
pub struct PageLimits {
    /// Most entries.
    pub entries_max: usize,
    /// Most bytes, exceeded only by a single larger entry.
    pub bytes_max: usize,
}

impl Default for PageLimits {
    fn default() -> Self {
        Self {
            // A page is read as often as the chunk that it ends in, which holds what one commit wrote.
            entries_max: 4096,
            bytes_max: 1 << 20,
        }
    }
}
