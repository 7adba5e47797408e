use std::{collections::VecDeque, ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use kiln_proto::{
    ids::{OplogIndex, WorkerId},
    v1::{OplogEntry, oplog_entry::Entry, persistence_level_entry::Level},
};
use prost::Message;

use super::{Error, OplogStore, Regions, is_hint, store::PageLimits};

/// Most log lines remembered while passing them; beyond it the oldest are forgotten and could be written twice.
const PASSED_LOGS_MAX: usize = 1024;

/// Where replay stands among the recorded entries.
///
/// Invariant: `head` is the next entry that is neither a hint nor skipped, or `None` at the end. It is never the beginning
/// of a zone without persistence that was left open: what lies in such a zone runs again.
pub(super) struct Cursor {
    target: OplogIndex,
    skipped: Regions,
    page: VecDeque<(OplogIndex, Bytes)>,
    next: OplogIndex,
    head: Option<(OplogIndex, Arc<OplogEntry>)>,
    /// Where the zone without persistence ends that `head` begins.
    zone_end: OplogIndex,
    passed_logs: VecDeque<Arc<OplogEntry>>,
}

impl Cursor {
    pub(super) fn new(target: OplogIndex, skipped: Regions) -> Self {
        Self {
            target,
            skipped,
            page: VecDeque::new(),
            next: OplogIndex::FIRST,
            head: None,
            zone_end: OplogIndex::NONE,
            passed_logs: VecDeque::new(),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.head.is_none()
    }

    pub(super) fn peek(&self) -> Option<(OplogIndex, Arc<OplogEntry>)> {
        self.head.clone()
    }

    pub(super) fn take(
        &mut self,
        store: &dyn OplogStore,
        worker: &WorkerId,
    ) -> Result<Option<(OplogIndex, Arc<OplogEntry>)>, Error> {
        let Some(taken) = self.head.take() else {
            return Ok(None);
        };
        self.settle(store, worker)?;
        Ok(Some(taken))
    }

    /// The index that execution has reached once the entry at `index` is matched: a void stretch behind it counts as passed,
    /// as it did when the jump that made it void was written.
    pub(super) fn reached_by(&self, index: OplogIndex) -> OplogIndex {
        self.skipped.end_of(index.next()).unwrap_or(index)
    }

    pub(super) fn take_passed_logs(&mut self) -> Vec<Arc<OplogEntry>> {
        self.passed_logs.drain(..).collect()
    }

    /// Restores the invariant: moves to the next entry that the guest has to match.
    pub(super) fn settle(&mut self, store: &dyn OplogStore, worker: &WorkerId) -> Result<(), Error> {
        while self.head.is_none() && self.next <= self.target {
            if let Some(end) = self.skipped.end_of(self.next) {
                self.skip_to(end.next());
                continue;
            }
            let (index, entry) = self.read_next(store, worker)?;
            self.next = index.next();
            match &entry.entry {
                Some(hint) if is_hint(hint) => self.pass(hint, &entry),
                Some(begin) if begins_zone(begin) => self.settle_at_zone(store, worker, index, entry)?,
                _ => self.head = Some((index, entry)),
            }
        }
        if self.head.is_none() {
            // A worker may stay in memory for long after its replay.
            self.page = VecDeque::new();
        }
        Ok(())
    }

    /// `entry` begins a zone without persistence. One that was left open is passed over with all that follows it.
    fn settle_at_zone(
        &mut self,
        store: &dyn OplogStore,
        worker: &WorkerId,
        index: OplogIndex,
        entry: Arc<OplogEntry>,
    ) -> Result<(), Error> {
        let end = self.look_ahead(store, worker, |index, entry| {
            if ends_zone(entry) {
                ControlFlow::Break(index)
            } else {
                ControlFlow::Continue(())
            }
        })?;
        match end {
            Some(end) => {
                self.zone_end = end;
                self.head = Some((index, entry));
            }
            None => self.skip_to(self.target.next()),
        }
        Ok(())
    }

    /// Passes over the zone that `head` begins, up to the entry that ends it, which becomes the head.
    pub(super) fn enter_zone(&mut self, store: &dyn OplogStore, worker: &WorkerId) -> Result<(), Error> {
        if !self.head_is(begins_zone) {
            return Ok(());
        }
        self.head = None;
        self.skip_to(self.zone_end);
        self.settle(store, worker)
    }

    /// Passes over all zones that begin at the head, with the change of level that ends them.
    pub(super) fn pass_zone(&mut self, store: &dyn OplogStore, worker: &WorkerId) -> Result<(), Error> {
        while self.head_is(begins_zone) {
            self.enter_zone(store, worker)?;
            if self.head_is(|entry| matches!(entry, Entry::ChangePersistenceLevel(_))) {
                self.take(store, worker)?;
            }
        }
        Ok(())
    }

    /// True when nothing but a zone that was left is ahead.
    pub(super) fn is_at_last_zone(&self, store: &dyn OplogStore, worker: &WorkerId) -> Result<bool, Error> {
        if !self.head_is(begins_zone) {
            return Ok(false);
        }
        let zone_end = self.zone_end;
        let behind = self.look_ahead(store, worker, |index, _| match index > zone_end {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })?;
        Ok(behind.is_none())
    }

    fn head_is(&self, fits: impl Fn(&Entry) -> bool) -> bool {
        self.head
            .as_ref()
            .is_some_and(|(_, entry)| entry.entry.as_ref().is_some_and(fits))
    }

    pub(super) fn is_void(&self, index: OplogIndex) -> bool {
        self.skipped.end_of(index).is_some()
    }

    /// Passes over all that is left.
    pub(super) fn pass_all(&mut self) {
        self.head = None;
        self.skip_to(self.target.next());
    }

    /// True when the head or something behind it fits.
    pub(super) fn finds_ahead(
        &self,
        store: &dyn OplogStore,
        worker: &WorkerId,
        fits: impl Fn(&Entry) -> bool,
    ) -> Result<bool, Error> {
        if self.head_is(&fits) {
            return Ok(true);
        }
        let found = self.look_ahead(store, worker, |_, entry| match fits(entry) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })?;
        Ok(found.is_some())
    }

    /// Shows `visit` what replay has yet to match behind the head, until it breaks with an answer.
    fn look_ahead<T>(
        &self,
        store: &dyn OplogStore,
        worker: &WorkerId,
        mut visit: impl FnMut(OplogIndex, &Entry) -> ControlFlow<T>,
    ) -> Result<Option<T>, Error> {
        let mut next = self.next;
        let mut read: VecDeque<_>;
        let mut page = self.page.iter();
        while next <= self.target {
            if let Some(end) = self.skipped.end_of(next) {
                next = end.next();
                continue;
            }
            let Some((index, bytes)) = page.find(|(index, _)| *index >= next) else {
                read = self.read_page(store, worker, next)?;
                page = read.iter();
                continue;
            };
            let entry = decode(worker, next, *index, bytes.clone())?;
            next = index.next();
            if let Some(entry) = entry.entry.as_ref().filter(|entry| !is_hint(entry))
                && let ControlFlow::Break(answer) = visit(*index, entry)
            {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn skip_to(&mut self, next: OplogIndex) {
        self.next = next;
        while self.page.front().is_some_and(|(index, _)| *index < next) {
            self.page.pop_front();
        }
    }

    fn pass(&mut self, hint: &Entry, entry: &Arc<OplogEntry>) {
        if matches!(hint, Entry::Log(_)) {
            if self.passed_logs.len() == PASSED_LOGS_MAX {
                self.passed_logs.pop_front();
            }
            self.passed_logs.push_back(entry.clone());
        }
    }

    fn read_next(
        &mut self,
        store: &dyn OplogStore,
        worker: &WorkerId,
    ) -> Result<(OplogIndex, Arc<OplogEntry>), Error> {
        if self.page.is_empty() {
            self.page = self.read_page(store, worker, self.next)?;
        }
        let (index, bytes) = self
            .page
            .pop_front()
            .ok_or_else(|| corrupt(worker, self.next, "no entry is stored"))?;
        let entry = decode(worker, self.next, index, bytes)?;
        Ok((index, Arc::new(entry)))
    }

    /// The stored entries from `from` on, at least one.
    fn read_page(
        &self,
        store: &dyn OplogStore,
        worker: &WorkerId,
        from: OplogIndex,
    ) -> Result<VecDeque<(OplogIndex, Bytes)>, Error> {
        let page = store
            .read(worker, from, PageLimits::default())
            .map_err(|source| Error::Read {
                worker: worker.clone(),
                from,
                source: Box::new(source),
            })?;
        if page.is_empty() {
            return Err(corrupt(worker, from, "no entry is stored"));
        }
        Ok(page.into())
    }
}

/// Reads the entry that is stored at `index`, which has to be the one at `expected`.
fn decode(
    worker: &WorkerId,
    expected: OplogIndex,
    index: OplogIndex,
    bytes: Bytes,
) -> Result<OplogEntry, Error> {
    if index != expected {
        let what = format!("the next stored entry has index {index}");
        return Err(corrupt(worker, expected, &what));
    }
    let entry = OplogEntry::decode(bytes).map_err(|error| corrupt(worker, index, &error.to_string()))?;
    if entry.entry.is_none() {
        return Err(corrupt(worker, index, "the entry has no known kind"));
    }
    Ok(entry)
}

fn corrupt(worker: &WorkerId, index: OplogIndex, what: &str) -> Error {
    Error::Corrupt {
        worker: worker.clone(),
        index,
        what: what.to_owned(),
    }
}

/// True for the entry from which on nothing is persisted.
pub(super) fn begins_zone(entry: &Entry) -> bool {
    matches!(entry, Entry::ChangePersistenceLevel(change) if change.level() == Level::PersistNothing)
}

/// True for what ends a zone without persistence: another level, or the end of the invocation.
fn ends_zone(entry: &Entry) -> bool {
    match entry {
        Entry::ChangePersistenceLevel(change) => change.level() != Level::PersistNothing,
        Entry::ExportedFunctionCompleted(_) => true,
        _ => false,
    }
}

/// Reads committed entries as they are stored, whether or not they count.
pub(super) fn read_entries(
    store: &dyn OplogStore,
    worker: &WorkerId,
    from: OplogIndex,
    entries_max: usize,
) -> Result<Vec<(OplogIndex, OplogEntry)>, Error> {
    let limits = PageLimits {
        entries_max,
        ..PageLimits::default()
    };
    let page = store.read(worker, from, limits).map_err(|source| Error::Read {
        worker: worker.clone(),
        from,
        source: Box::new(source),
    })?;
    let decode = |(index, bytes)| {
        let entry = OplogEntry::decode(bytes).map_err(|error: prost::DecodeError| Error::Corrupt {
            worker: worker.clone(),
            index,
            what: error.to_string(),
        })?;
        Ok((index, entry))
    };
    page.into_iter().map(decode).collect()
}
