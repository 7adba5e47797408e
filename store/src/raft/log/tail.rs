use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::raft::types::Entry;

/// The memory for the newest entries of all logs of a node. Each log has an equal share.
pub(crate) struct TailMemory {
    bytes_max: usize,
    tails: AtomicUsize,
}

impl TailMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            tails: AtomicUsize::new(0),
        }
    }

    fn share(&self) -> usize {
        self.bytes_max / self.tails.load(Ordering::Relaxed).max(1)
    }
}

/// The newest entries of a group's log, readable before they are durable.
///
/// Invariant: the entries are consecutive and end with the log's last one. Only durable ones are ever dropped from the
/// front, so an entry is in the tail, in the log instance, or in both.
pub(crate) struct Tail {
    memory: Arc<TailMemory>,
    inner: Mutex<Inner>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.memory.tails.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries up to here are on disk.
    written: u64,
    /// Counts truncations: what was appended before the last of them proves nothing about entries here.
    generation: u64,
}

/// Tells the tail that what was appended is on disk.
pub(crate) struct Receipt {
    pub(crate) tail: Arc<Tail>,
    pub(crate) generation: u64,
    pub(crate) last: u64,
}

impl Receipt {
    pub(crate) fn written(&self) {
        self.tail.written(self.generation, self.last);
    }
}

impl Tail {
    pub(crate) fn new(memory: Arc<TailMemory>) -> Self {
        memory.tails.fetch_add(1, Ordering::Relaxed);
        Self {
            memory,
            inner: Mutex::default(),
        }
    }

    /// Adds entries at the end and returns the generation that their receipt must carry.
    pub(crate) fn push(&self, entries: impl IntoIterator<Item = Entry>) -> u64 {
        let mut inner = self.inner.lock();
        for entry in entries {
            inner.bytes += weight(&entry);
            inner.entries.push_back(entry);
        }
        inner.generation
    }

    /// Entries up to `index` are on disk now: the oldest make room.
    fn written(&self, generation: u64, index: u64) {
        let mut inner = self.inner.lock();
        if generation != inner.generation {
            return;
        }
        inner.written = index;
        let bytes_max = self.memory.share();
        while inner.bytes > bytes_max {
            match inner.entries.front() {
                Some(entry) if entry.log_id.index <= inner.written => inner.drop_front(),
                _ => break,
            }
        }
    }

    /// Index of the oldest entry here, if there is any.
    pub(crate) fn first(&self) -> Option<u64> {
        self.inner.lock().entries.front().map(|entry| entry.log_id.index)
    }

    /// Entries from `from` on and below `to`, as many as fit in `bytes_max` but at least one; `None` if the tail does
    /// not reach back to `from`.
    pub(crate) fn read(&self, from: u64, to: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let inner = self.inner.lock();
        let first = inner.entries.front()?.log_id.index;
        let start = usize::try_from(from.checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let mut entries = Vec::new();
        for entry in inner.entries.range(start.min(inner.entries.len())..) {
            bytes += weight(entry);
            if entry.log_id.index >= to || (bytes > bytes_max && !entries.is_empty()) {
                break;
            }
            entries.push(entry.clone());
        }
        Some(entries)
    }

    /// Drops entries from `from` on.
    pub(crate) fn truncate(&self, from: u64) {
        let mut inner = self.inner.lock();
        while inner
            .entries
            .back()
            .is_some_and(|entry| entry.log_id.index >= from)
        {
            if let Some(entry) = inner.entries.pop_back() {
                inner.bytes -= weight(&entry);
            }
        }
        inner.written = inner.written.min(from.saturating_sub(1));
        inner.generation += 1;
    }

    /// Drops entries below `below`.
    pub(crate) fn purge(&self, below: u64) {
        let mut inner = self.inner.lock();
        while inner
            .entries
            .front()
            .is_some_and(|entry| entry.log_id.index < below)
        {
            inner.drop_front();
        }
    }
}

impl Inner {
    fn drop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= weight(&entry);
        }
    }
}

/// Bytes that an entry holds on to, about.
fn weight(entry: &Entry) -> usize {
    const FIXED: usize = 96;
    match &entry.payload {
        openraft::EntryPayload::Normal(command) => FIXED + command.0.len(),
        _ => FIXED,
    }
}
