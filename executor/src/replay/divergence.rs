use kiln_proto::{
    ids::{OplogIndex, WorkerId},
    v1::oplog_entry::Entry,
};

/// The guest did something else than its oplog says. The worker fails, the node does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker} diverged from its oplog at index {index}: expected {expected}, got {actual}")]
pub struct Divergence {
    /// Which worker.
    pub worker: WorkerId,
    /// The recorded entry that does not fit.
    pub index: OplogIndex,
    /// What is recorded.
    pub expected: String,
    /// What the guest did.
    pub actual: String,
}

/// A recorded entry in words: its kind, and for calls the function.
#[must_use]
pub fn describe(entry: Option<&Entry>) -> String {
    match entry {
        Some(Entry::ImportedFunctionInvoked(call)) => format!("the host call {}", call.function_name),
        Some(Entry::ExportedFunctionInvoked(call)) => format!("the invocation of {}", call.function_name),
        Some(other) => kind_name(other).to_owned(),
        None => "an unknown entry".to_owned(),
    }
}

/// The entry's kind as the guest contract names it.
#[must_use]
pub fn kind_name(entry: &Entry) -> &'static str {
    match entry {
        Entry::Create(_) => "create",
        Entry::ImportedFunctionInvoked(_) => "imported-function-invoked",
        Entry::ExportedFunctionInvoked(_) => "exported-function-invoked",
        Entry::ExportedFunctionCompleted(_) => "exported-function-completed",
        Entry::Suspend(_) => "suspend",
        Entry::Error(_) => "error",
        Entry::NoOp(_) => "no-op",
        Entry::Jump(_) => "jump",
        Entry::Interrupted(_) => "interrupted",
        Entry::Exited(_) => "exited",
        Entry::ChangeRetryPolicy(_) => "change-retry-policy",
        Entry::BeginAtomicRegion(_) => "begin-atomic-region",
        Entry::EndAtomicRegion(_) => "end-atomic-region",
        Entry::BeginRemoteWrite(_) => "begin-remote-write",
        Entry::EndRemoteWrite(_) => "end-remote-write",
        Entry::PendingWorkerInvocation(_) => "pending-worker-invocation",
        Entry::PendingUpdate(_) => "pending-update",
        Entry::SuccessfulUpdate(_) => "successful-update",
        Entry::FailedUpdate(_) => "failed-update",
        Entry::GrowMemory(_) => "grow-memory",
        Entry::CreateResource(_) => "create-resource",
        Entry::DropResource(_) => "drop-resource",
        Entry::Log(_) => "log",
        Entry::Restart(_) => "restart",
        Entry::Revert(_) => "revert",
        Entry::CancelInvocation(_) => "cancel-invocation",
        Entry::StartSpan(_) => "start-span",
        Entry::FinishSpan(_) => "finish-span",
        Entry::SetSpanAttribute(_) => "set-span-attribute",
        Entry::ChangePersistenceLevel(_) => "change-persistence-level",
        Entry::BeginRemoteTransaction(_) => "begin-remote-transaction",
        Entry::PreCommitRemoteTransaction(_) => "pre-commit-remote-transaction",
        Entry::PreRollbackRemoteTransaction(_) => "pre-rollback-remote-transaction",
        Entry::CommittedRemoteTransaction(_) => "committed-remote-transaction",
        Entry::RolledBackRemoteTransaction(_) => "rolled-back-remote-transaction",
    }
}
