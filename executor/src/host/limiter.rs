use std::sync::Arc;

use kiln_proto::v1::{GrowMemoryEntry, oplog_entry::Entry};
use wasmtime::ResourceLimiterAsync;

use super::{HostState, Room};

/// Most entries of a guest's function tables.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// Growth is recorded in steps of at least this many bytes. What an allocator takes in small pieces is not: it would move the
/// indices of what guests and callers number by the oplog.
const GROWTH_RECORDED: usize = 1 << 20;

/// Linear memory of one guest: what it has and what it may have.
pub(crate) struct Memory {
    bytes_max: usize,
    room: Arc<dyn Room>,
    used: usize,
    refused: bool,
    /// Growth that no entry tells of yet.
    unrecorded: usize,
    has_started: bool,
}

/// The node has no room for the memory that the guest needs now. It has to make place and come back with a larger claim.
#[derive(Debug, thiserror::Error)]
#[error("the node has no memory left now: the guest needs {bytes} bytes")]
pub(crate) struct NoRoom {
    pub(crate) bytes: u64,
}

impl Memory {
    pub(super) fn new(worker_bytes_max: usize, room: Arc<dyn Room>) -> Self {
        let node_bytes_max = usize::try_from(room.bytes_max()).unwrap_or(usize::MAX);
        Self {
            bytes_max: worker_bytes_max.min(node_bytes_max),
            room,
            used: 0,
            refused: false,
            unrecorded: 0,
            has_started: false,
        }
    }

    /// The instance has started: memory that it begins with is in the Create entry.
    pub(super) fn start(&mut self) {
        self.has_started = true;
    }

    /// Growth that is worth an entry, if there is that much.
    fn take_growth(&mut self, growth: usize) -> Option<u64> {
        if !self.has_started {
            return None;
        }
        self.unrecorded += growth;
        (self.unrecorded >= GROWTH_RECORDED).then(|| std::mem::take(&mut self.unrecorded) as u64)
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Linear memory of the instance, in bytes.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// True once the guest was refused memory: a trap after that is most likely its allocator giving up.
    pub(super) fn has_refused(&self) -> bool {
        self.refused
    }
}

#[async_trait::async_trait]
impl ResourceLimiterAsync for HostState {
    /// Growth beyond what a worker may have fails, which the guest can see. Growth beyond what the node has now ends the
    /// call instead: the guest must not see how full a machine is, or replay would differ.
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.memory.used.saturating_add(growth);
        if total > self.memory.bytes_max || maximum.is_some_and(|maximum| desired > maximum) {
            self.memory.refused = true;
            return Ok(false);
        }
        let bytes = total as u64;
        if !self.memory.room.reserve(bytes).await {
            return Err(NoRoom { bytes }.into());
        }
        self.memory.used = total;
        if self.journal.is_live()
            && let Some(delta) = self.memory.take_growth(growth)
        {
            self.journal.append(Entry::GrowMemory(GrowMemoryEntry { delta }));
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.refused = true;
        Ok(())
    }

    async fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX.min(maximum.unwrap_or(usize::MAX)))
    }
}
