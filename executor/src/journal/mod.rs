//! The oplog of one loaded worker: what is recorded, what waits to be committed, and where replay stands.
//!
//! * [`OplogStore`] – where committed entries live: a shard, or a vector in tests
//! * [`Journal`] – replay cursor over the recorded entries and the uncommitted tail after them
//! * [`hint`] – which entries replay passes over
//! * [`region`] – stretches of the oplog that count no more
//! * `crash_point` – where tests kill the process

mod crash_point;
mod cursor;
mod error;
mod hint;
mod memory;
mod region;
mod store;
mod tail;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kiln_proto::{
    convert::now_ns,
    ids::{Epoch, OplogIndex, WorkerId},
    v1::{OplogEntry, RegionEntry, oplog_entry::Entry},
};
use parking_lot::Mutex;

pub use error::Error;
pub use hint::is_hint;
pub use memory::MemoryOplog;
pub use region::{Region, Regions};
pub use store::{OplogStore, PageLimits};

use crash_point::Point;
use cursor::Cursor;
use tail::Tail;

/// Entries that may wait for a commit before a guest that runs on and on is made to wait.
const UNCOMMITTED_ENTRIES_MAX: usize = 1024;
/// Their encoded size.
const UNCOMMITTED_BYTES_MAX: usize = 1 << 20;

/// What a [`Journal`] starts from.
pub struct Options {
    /// Whose oplog it is.
    pub worker: WorkerId,
    /// Under which epoch entries are appended.
    pub epoch: Epoch,
    /// Index of the last committed entry; 0 for a new worker.
    pub last: OplogIndex,
    /// Jumped-over and reverted stretches, as the worker record lists them.
    pub skipped: Regions,
    /// Time of entries, in nanoseconds since the Unix epoch.
    pub now_ns: fn() -> u64,
}

impl Options {
    /// Starts from `last` with nothing skipped, and the system's clock.
    #[must_use]
    pub fn new(worker: WorkerId, epoch: Epoch, last: OplogIndex) -> Self {
        Self {
            worker,
            epoch,
            last,
            skipped: Regions::default(),
            now_ns,
        }
    }
}

/// The oplog of one loaded worker. Clones share it: the actor appends accepted invocations while the guest runs.
///
/// Invariant: once a commit fails, every later one does too ([`Error::Broken`]). Whether the entries reached the shard
/// is then unknown, so the worker has to be loaded again from what is stored.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    worker: WorkerId,
    epoch: Epoch,
    store: Arc<dyn OplogStore>,
    now_ns: fn() -> u64,
    state: Mutex<State>,
    /// Orders commits, so that each appends right behind the one before.
    committing: tokio::sync::Mutex<()>,
}

struct State {
    cursor: Cursor,
    tail: Tail,
    /// The last entry, replayed or appended, that is no hint.
    current: OplogIndex,
    /// Of the Create entry, once that has been replayed or appended.
    created_at_ns: u64,
    /// Appended before the first step that is new.
    arrival: Option<Entry>,
    commits: u64,
}

impl State {
    fn push(&mut self, timestamp_ns: u64, entry: Entry) -> OplogIndex {
        self.tail.push(&OplogEntry {
            timestamp_ns,
            entry: Some(entry),
        })
    }

    fn arrive(&mut self, timestamp_ns: u64) {
        if self.cursor.is_at_end()
            && let Some(hint) = self.arrival.take()
        {
            self.push(timestamp_ns, hint);
        }
    }
}

impl Journal {
    /// Opens the oplog at its beginning, ready to replay what is recorded.
    ///
    /// # Errors
    /// When the first page cannot be read.
    pub fn open(store: Arc<dyn OplogStore>, options: Options) -> Result<Self, Error> {
        let mut cursor = Cursor::new(options.last, options.skipped);
        cursor.settle(&*store, &options.worker)?;
        let state = State {
            cursor,
            tail: Tail::after(options.last),
            current: OplogIndex::NONE,
            created_at_ns: 0,
            arrival: None,
            commits: 0,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                worker: options.worker,
                epoch: options.epoch,
                store,
                now_ns: options.now_ns,
                state: Mutex::new(state),
                committing: tokio::sync::Mutex::new(()),
            }),
        })
    }

    /// Whose oplog it is.
    #[must_use]
    pub fn worker(&self) -> &WorkerId {
        &self.shared.worker
    }

    /// True when nothing recorded is left to replay: effects are new from here on.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.shared.state.lock().cursor.is_at_end()
    }

    /// The index that the next appended entry gets.
    #[must_use]
    pub fn next_index(&self) -> OplogIndex {
        self.shared.state.lock().tail.next_index()
    }

    /// The index that execution has reached: of the last entry, replayed or appended, that is no hint. It is the same in
    /// every life of the worker, since hints come from outside and at any time.
    #[must_use]
    pub fn current_index(&self) -> OplogIndex {
        self.shared.state.lock().current
    }

    /// When the worker was created: it tells one from an earlier worker of the same name.
    #[must_use]
    pub fn created_at_ns(&self) -> u64 {
        self.shared.state.lock().created_at_ns
    }

    /// The next recorded entry that replay has to match, with hints and skipped regions passed over. `None` when live.
    #[must_use]
    pub fn peek(&self) -> Option<(OplogIndex, Arc<OplogEntry>)> {
        self.shared.state.lock().cursor.peek()
    }

    /// Takes the entry that [`Journal::peek`] shows.
    ///
    /// # Errors
    /// When the page behind it cannot be read.
    pub fn take(&self) -> Result<Option<(OplogIndex, Arc<OplogEntry>)>, Error> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        let taken = state.cursor.take(&*shared.store, &shared.worker)?;
        if let Some((index, entry)) = &taken {
            state.current = state.cursor.reached_by(*index);
            if matches!(entry.entry, Some(Entry::Create(_))) {
                state.created_at_ns = entry.timestamp_ns;
            }
        }
        Ok(taken)
    }

    /// Adds an entry to the uncommitted tail and returns its index.
    pub fn append(&self, entry: Entry) -> OplogIndex {
        if !is_hint(&entry) {
            return self.append_with(|_| entry);
        }
        let timestamp_ns = (self.shared.now_ns)();
        let index = self.shared.state.lock().push(timestamp_ns, entry);
        crash_point::pass(Point::Append, &self.shared.worker, index);
        index
    }

    /// Time of entries, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        (self.shared.now_ns)()
    }

    /// Adds an entry that depends on its own index, and is no hint.
    pub fn append_with(&self, entry: impl FnOnce(OplogIndex) -> Entry) -> OplogIndex {
        self.append_timed(entry).0
    }

    /// As [`Journal::append_with`], with the time of the entry beside its index.
    pub fn append_timed(&self, entry: impl FnOnce(OplogIndex) -> Entry) -> (OplogIndex, u64) {
        let timestamp_ns = (self.shared.now_ns)();
        let mut state = self.shared.state.lock();
        state.arrive(timestamp_ns);
        let entry = entry(state.tail.next_index());
        if matches!(entry, Entry::Create(_)) {
            state.created_at_ns = timestamp_ns;
        }
        let index = state.push(timestamp_ns, entry);
        state.current = index;
        drop(state);
        crash_point::pass(Point::Append, &self.shared.worker, index);
        (index, timestamp_ns)
    }

    /// Committed entries from an index on, skipped regions included; empty behind the last one.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn read(&self, from: OplogIndex, entries_max: usize) -> Result<Vec<(OplogIndex, OplogEntry)>, Error> {
        cursor::read_entries(&*self.shared.store, &self.shared.worker, from, entries_max)
    }

    /// Has a hint appended as soon as everything recorded is replayed and the guest goes on: right before its first new step.
    pub fn on_arrival(&self, hint: Entry) {
        self.shared.state.lock().arrival = Some(hint);
    }

    /// Appends the hint of [`Journal::on_arrival`] now, if everything recorded is replayed.
    pub fn arrive(&self) {
        self.shared.state.lock().arrive((self.shared.now_ns)());
    }

    /// False while the hint of [`Journal::on_arrival`] is not appended.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.shared.state.lock().arrival.is_none()
    }

    /// Makes everything from `start` on void, and goes on live from the entry before it.
    pub fn jump(&self, start: OplogIndex) {
        self.shared.state.lock().cursor.pass_all();
        self.append_with(|index| {
            Entry::Jump(RegionEntry {
                start: start.0,
                end: index.0,
            })
        });
    }

    /// Enters the zone without persistence that begins at the head, if one does. What ends the zone is the head then.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn enter_zone(&self) -> Result<(), Error> {
        let shared = &*self.shared;
        shared
            .state
            .lock()
            .cursor
            .enter_zone(&*shared.store, &shared.worker)
    }

    /// Passes over zones without persistence that begin at the head, with what ends them.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn pass_zone(&self) -> Result<(), Error> {
        let shared = &*self.shared;
        shared
            .state
            .lock()
            .cursor
            .pass_zone(&*shared.store, &shared.worker)
    }

    /// True when the entry counts no more, as far as that was known when the oplog was opened.
    #[must_use]
    pub fn is_void(&self, index: OplogIndex) -> bool {
        self.shared.state.lock().cursor.is_void(index)
    }

    /// True when the guest is to make new effects: nothing is left to replay but a zone without persistence that it has
    /// left, which is passed over then.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn is_live_behind_zone(&self) -> Result<bool, Error> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        if state.cursor.is_at_last_zone(&*shared.store, &shared.worker)? {
            state.cursor.pass_zone(&*shared.store, &shared.worker)?;
        }
        Ok(state.cursor.is_at_end())
    }

    /// True when what replay has yet to match, its head included, has an entry that fits. Hints and skipped regions are left
    /// out.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn finds_ahead(&self, fits: impl Fn(&Entry) -> bool) -> Result<bool, Error> {
        let shared = &*self.shared;
        let state = shared.state.lock();
        state.cursor.finds_ahead(&*shared.store, &shared.worker, fits)
    }

    /// True when an append waits for a commit.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        !self.shared.state.lock().tail.is_empty()
    }

    /// Number of entries that wait for a commit.
    #[must_use]
    pub fn uncommitted_len(&self) -> usize {
        self.shared.state.lock().tail.len()
    }

    /// Number of commits so far.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.state.lock().commits
    }

    /// Makes everything appended so far durable with one append to the shard, and returns the last index.
    /// Returns at once when nothing waits.
    ///
    /// # Errors
    /// [`Error::Append`] when the shard refuses or cannot say; [`Error::Broken`] ever after.
    pub async fn commit(&self) -> Result<OplogIndex, Error> {
        let shared = &*self.shared;
        let _turn = shared.committing.lock().await;
        let (first, entries) = shared.state.lock().tail.take()?;
        if entries.is_empty() {
            return Ok(OplogIndex(first.0 - 1));
        }
        let last = OplogIndex(first.0 + entries.len() as u64 - 1);
        let appended = shared
            .store
            .append(&shared.worker, shared.epoch, first, entries)
            .await;
        if appended.is_ok() {
            crash_point::pass(Point::Commit, &shared.worker, last);
        }
        let mut state = shared.state.lock();
        state.tail.settle(appended.is_ok());
        appended.map_err(|source| Error::Append {
            worker: shared.worker.clone(),
            first,
            source: Box::new(source),
        })?;
        state.commits += 1;
        Ok(last)
    }

    /// True when so much waits for a commit that the guest has to wait for one, too.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let state = self.shared.state.lock();
        state.tail.len() >= UNCOMMITTED_ENTRIES_MAX || state.tail.bytes() >= UNCOMMITTED_BYTES_MAX
    }

    /// True once a commit has failed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.shared.state.lock().tail.is_broken()
    }

    /// Removes and returns the log lines that replay has passed over, so that they are not written a second time.
    pub fn take_passed_logs(&self) -> Vec<Arc<OplogEntry>> {
        self.shared.state.lock().cursor.take_passed_logs()
    }
}
