use kiln_proto::v1::oplog_entry::Entry;

/// True for entries that say something about the worker but are no step of the guest: replay passes over them.
#[must_use]
pub fn is_hint(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Suspend(_)
            | Entry::Error(_)
            | Entry::Interrupted(_)
            | Entry::Exited(_)
            | Entry::PendingWorkerInvocation(_)
            | Entry::PendingUpdate(_)
            | Entry::SuccessfulUpdate(_)
            | Entry::FailedUpdate(_)
            | Entry::GrowMemory(_)
            | Entry::CreateResource(_)
            | Entry::DropResource(_)
            | Entry::Log(_)
            | Entry::Restart(_)
            | Entry::Revert(_)
            | Entry::CancelInvocation(_)
    )
}
