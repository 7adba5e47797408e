use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use kiln_proto::{
    ids::{OplogIndex, WorkerId},
    v1::{OplogEntry, oplog_entry::Entry},
};
use prost::Message;

use super::{Error, OplogStore, Regions, is_hint, store::PageLimits};

/// Most log lines remembered while passing them; beyond it the oldest are forgotten and could be written twice.
const PASSED_LOGS_MAX: usize = 1024;

/// Where replay stands among the recorded entries.
///
/// Invariant: `head` is the next entry that is neither a hint nor skipped, or `None` at the end.
pub(super) struct Cursor {
    target: OplogIndex,
    skipped: Regions,
    page: VecDeque<(OplogIndex, Bytes)>,
    next: OplogIndex,
    head: Option<(OplogIndex, Arc<OplogEntry>)>,
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
                _ => self.head = Some((index, entry)),
            }
        }
        Ok(())
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
        let corrupt = |index, what| Error::Corrupt {
            worker: worker.clone(),
            index,
            what,
        };
        if self.page.is_empty() {
            let page = store
                .read(worker, self.next, PageLimits::default())
                .map_err(|source| Error::Read {
                    worker: worker.clone(),
                    from: self.next,
                    source: Box::new(source),
                })?;
            self.page = page.into();
        }
        let (index, bytes) = self
            .page
            .pop_front()
            .ok_or_else(|| corrupt(self.next, "no entry is stored".to_owned()))?;
        if index != self.next {
            return Err(corrupt(
                self.next,
                format!("the next stored entry has index {index}"),
            ));
        }
        let entry = OplogEntry::decode(bytes).map_err(|error| corrupt(index, error.to_string()))?;
        if entry.entry.is_none() {
            return Err(corrupt(index, "the entry has no known kind".to_owned()));
        }
        Ok((index, Arc::new(entry)))
    }
}
