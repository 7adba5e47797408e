use crate::v1::oplog_entry::Entry;

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
