use kiln_proto::v1::{
    CreateEntry, ErrorEntry, ExportedFunctionInvokedEntry, KeyRecord, OplogEntry, PendingInvocation,
    PendingWorkerInvocationEntry, RegionEntry, RevertEntry, SuspendEntry, WorkerRecord, WorkerStatus,
    key_record::State, oplog_entry::Entry, pending_worker_invocation_entry::Invocation,
};

use super::{regions, retry};

/// What an entry changes about an idempotency key; `None` forgets the key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// What is known of it from here on.
    pub record: Option<KeyRecord>,
}

/// A worker's record together with what the entries folded into it changed about idempotency keys.
///
/// A fold is a pure function of the entries (semantics.md §2): every replica, and every later reader of the oplog,
/// comes to the same record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fold {
    /// The record after the last entry.
    pub record: WorkerRecord,
    /// Changes to keys, in order.
    pub keys: Vec<KeyChange>,
    /// Entries that count no more changed what had been folded in: the whole oplog has to be folded again, with the
    /// record's deleted regions left out.
    pub must_refold: bool,
}

impl Fold {
    /// Continues from a stored record.
    #[must_use]
    pub fn from(record: WorkerRecord) -> Self {
        Self {
            record,
            ..Self::default()
        }
    }

    /// Folds a whole oplog, leaving out what its reverts deleted.
    pub fn all<'a>(entries: impl IntoIterator<Item = (u64, &'a OplogEntry)> + Clone) -> Self {
        let deleted: Vec<_> = entries
            .clone()
            .into_iter()
            .filter_map(|(_, entry)| match &entry.entry {
                Some(Entry::Revert(revert)) => Some(region(revert)),
                _ => None,
            })
            .collect();
        let mut fold = Self::default();
        for (index, entry) in entries {
            if regions::contains(&deleted, index) {
                fold.pass_deleted(index, entry);
            } else {
                fold.add(index, entry);
            }
        }
        fold.must_refold = false;
        fold
    }

    /// Takes note of an entry that counts no more.
    fn pass(&mut self, index: u64, entry: &OplogEntry) {
        self.record.oplog_index = index;
        self.record.updated_at_ns = entry.timestamp_ns;
    }

    /// A deleted entry. An invocation or an update that was begun there does not wait again, although it was accepted
    /// before.
    fn pass_deleted(&mut self, index: u64, entry: &OplogEntry) {
        self.pass(index, entry);
        match &entry.entry {
            Some(Entry::ExportedFunctionInvoked(invoked)) => self.cancelled(&invoked.idempotency_key),
            Some(Entry::PendingUpdate(update)) if update.snapshot.is_some() => {
                self.leave_queue(update.target_version);
            }
            _ => {}
        }
    }

    /// Folds in the next entry.
    pub fn add(&mut self, index: u64, entry: &OplogEntry) {
        self.pass(index, entry);
        let Some(kind) = &entry.entry else { return };
        match kind {
            Entry::Create(create) => self.create(create, entry.timestamp_ns),
            Entry::Restart(_) => self.restarted(),
            Entry::ExportedFunctionInvoked(invoked) => self.invoked(index, invoked),
            Entry::ExportedFunctionCompleted(_) => self.completed(index),
            Entry::Suspend(suspend) => self.suspended(suspend),
            Entry::Interrupted(_) => self.set(WorkerStatus::WorkerInterrupted),
            Entry::Exited(_) => self.exited(index),
            Entry::Error(error) => self.error(index, error),
            Entry::PendingWorkerInvocation(pending) => self.pending(index, pending),
            Entry::CancelInvocation(cancel) => self.cancelled(&cancel.idempotency_key),
            Entry::PendingUpdate(update) => self.update_pending(index, update, entry.timestamp_ns),
            Entry::SuccessfulUpdate(update) => self.update_succeeded(index, update, entry.timestamp_ns),
            Entry::FailedUpdate(update) => self.update_failed(index, update, entry.timestamp_ns),
            Entry::GrowMemory(grow) => self.record.total_linear_memory_size += grow.delta,
            Entry::CreateResource(_) | Entry::DropResource(_) => {}
            Entry::Revert(revert) => {
                self.record.deleted_regions.push(region(revert));
                self.record.revert_token.clone_from(&revert.token);
                self.must_refold = true;
            }
            Entry::Jump(region) => {
                self.record.skipped_regions.push(*region);
                self.runs();
            }
            Entry::ChangeRetryPolicy(policy) => {
                self.record.retry_policy = Some(*policy);
                self.runs();
            }
            Entry::Log(_) => self.logged(),
            Entry::ImportedFunctionInvoked(_)
            | Entry::NoOp(_)
            | Entry::BeginAtomicRegion(_)
            | Entry::EndAtomicRegion(_)
            | Entry::BeginRemoteWrite(_)
            | Entry::EndRemoteWrite(_)
            | Entry::StartSpan(_)
            | Entry::FinishSpan(_)
            | Entry::SetSpanAttribute(_)
            | Entry::ChangePersistenceLevel(_)
            | Entry::BeginRemoteTransaction(_)
            | Entry::PreCommitRemoteTransaction(_)
            | Entry::PreRollbackRemoteTransaction(_)
            | Entry::CommittedRemoteTransaction(_)
            | Entry::RolledBackRemoteTransaction(_) => self.runs(),
        }
    }

    pub(super) fn set(&mut self, status: WorkerStatus) {
        self.record.set_status(status);
        self.record.wake_at_ns = None;
    }

    /// What the worker waits for may have come while it still ran: then it goes on at once.
    fn suspended(&mut self, suspend: &SuspendEntry) {
        self.set(WorkerStatus::Suspended);
        let is_woken = std::mem::take(&mut self.record.is_woken);
        self.record.wake_at_ns = if is_woken { Some(0) } else { suspend.until_ns };
    }

    /// An interrupted worker goes on.
    fn restarted(&mut self) {
        let is_idle = self.record.current_idempotency_key.is_none();
        self.set(if is_idle {
            WorkerStatus::Idle
        } else {
            WorkerStatus::Running
        });
    }

    fn runs(&mut self) {
        self.set(WorkerStatus::Running);
    }

    /// A line that an idle worker's host writes is no sign of life of the guest.
    fn logged(&mut self) {
        if self.record.current_idempotency_key.is_some() {
            self.runs();
        }
    }

    fn create(&mut self, create: &CreateEntry, at_ns: u64) {
        self.record.worker_id.clone_from(&create.worker_id);
        self.record.component_version = create.component_version;
        self.record.created_at_ns = at_ns;
        self.record.args.clone_from(&create.args);
        self.record.env.clone_from(&create.env);
        self.record.config.clone_from(&create.config);
        self.record.parent.clone_from(&create.parent);
        self.record.component_size = create.component_size;
        self.record.total_linear_memory_size = create.initial_memory_size;
        self.record.indexed_env.clone_from(&create.indexed_env);
        self.record.indexed_config.clone_from(&create.indexed_config);
        self.record.fork_token.clone_from(&create.fork_token);
        self.set(WorkerStatus::Idle);
    }

    fn pending(&mut self, index: u64, pending: &PendingWorkerInvocationEntry) {
        let invocation = match &pending.invocation {
            Some(Invocation::ExportedFunction(function)) => PendingInvocation {
                oplog_index: index,
                idempotency_key: function.idempotency_key.clone(),
                function_name: function.function_name.clone(),
                ..PendingInvocation::default()
            },
            Some(Invocation::ManualUpdate(update)) => PendingInvocation {
                oplog_index: index,
                update_version: Some(update.target_version),
                token: update.token.clone(),
                ..PendingInvocation::default()
            },
            None => return,
        };
        if !invocation.idempotency_key.is_empty() {
            self.key(invocation.idempotency_key.clone(), State::Pending, index);
        }
        self.record.pending_invocations.push(invocation);
    }

    fn cancelled(&mut self, key: &str) {
        self.record
            .pending_invocations
            .retain(|pending| pending.idempotency_key != key);
        self.keys.push(KeyChange {
            key: key.to_owned(),
            record: None,
        });
    }

    fn invoked(&mut self, index: u64, invoked: &ExportedFunctionInvokedEntry) {
        let key = invoked.idempotency_key.clone();
        self.record
            .pending_invocations
            .retain(|pending| pending.idempotency_key != key);
        self.record.current_invocation_index = index;
        retry::reset(&mut self.record);
        self.record.last_error = None;
        self.key(key.clone(), State::RunningNow, index);
        self.record.current_idempotency_key = Some(key);
        self.runs();
    }

    fn completed(&mut self, index: u64) {
        self.finish(index);
        retry::reset(&mut self.record);
        self.record.last_error = None;
        self.set(WorkerStatus::Idle);
    }

    fn exited(&mut self, index: u64) {
        self.finish(index);
        self.set(WorkerStatus::Exited);
    }

    fn error(&mut self, index: u64, error: &ErrorEntry) {
        let retries = retry::count(&mut self.record, error);
        self.record.last_error = Some(error.clone());
        if retries {
            self.set(WorkerStatus::Retrying);
        } else {
            // The failure is the result: whoever asks again with the same key gets it.
            self.finish(index);
            self.set(WorkerStatus::Failed);
        }
    }

    /// The current invocation has its result at `index`.
    fn finish(&mut self, index: u64) {
        self.record.last_end_index = index;
        if let Some(key) = self.record.current_idempotency_key.take() {
            self.key(key, State::Done, index);
        }
    }

    fn key(&mut self, key: String, state: State, oplog_index: u64) {
        let record = Some(KeyRecord {
            state: state.into(),
            oplog_index,
        });
        self.keys.push(KeyChange { key, record });
    }
}

fn region(revert: &RevertEntry) -> RegionEntry {
    RegionEntry {
        start: revert.start,
        end: revert.end,
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
