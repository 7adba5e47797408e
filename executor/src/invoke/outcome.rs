//! How an invocation ends, and what its callers hear of it.

use kiln_proto::{
    Error, ErrorCode,
    ids::OplogIndex,
    v1::{self, ErrorEntry, OplogEntry, error_entry, oplog_entry::Entry},
};

use crate::{
    host::{CallError, SnapshotError, StartError, TrapKind, Wait},
    journal,
    worker::Answer,
};

/// What is recorded of a finished invocation.
pub(crate) type Recorded = Result<Answer, Error>;

/// How an attempt to go on with a worker ended.
pub(crate) enum Ending {
    /// The function returned, and that is committed.
    Completed(Option<v1::Value>),
    /// The guest failed, or diverged from its oplog.
    Failed(Failure),
    /// The guest called `exit`.
    Exited,
    /// It waits for something that may take long.
    Suspended(Wait),
    /// It goes back in its oplog: it has to be loaded again, at once.
    Jumped,
    /// The node has no room for as much linear memory as the guest needs.
    OutOfMemory { bytes: u64 },
    /// Nothing was recorded of this attempt; the callers hear why.
    Refused(Error),
    /// The oplog cannot be written: somebody else may own the shard now.
    Lost(Error),
}

/// Why a guest failed.
pub(crate) struct Failure {
    pub(crate) kind: error_entry::Kind,
    pub(crate) message: String,
    pub(crate) stderr: String,
    /// The entry from which a retry starts again; 0 for the beginning of the invocation.
    pub(crate) retry_from: OplogIndex,
}

impl Failure {
    pub(crate) fn of_guest(message: String) -> Self {
        Self {
            kind: error_entry::Kind::Unknown,
            message,
            stderr: String::new(),
            retry_from: OplogIndex::NONE,
        }
    }
}

impl From<CallError> for Ending {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Arguments(error) => Self::Refused(Error::invalid(error.to_string())),
            CallError::Trap {
                message,
                kind,
                stderr,
                retry_from,
            } => Self::Failed(Failure {
                kind: entry_kind(kind),
                message,
                stderr,
                retry_from,
            }),
            CallError::Exit { .. } => Self::Exited,
            CallError::OutOfMemory { bytes } => Self::OutOfMemory { bytes },
            CallError::Interrupted => Self::Refused(interrupted()),
            CallError::Suspend(wait) => Self::Suspended(wait),
            CallError::Jump => Self::Jumped,
            CallError::Divergence(divergence) => Self::Failed(Failure::of_guest(divergence.to_string())),
            CallError::Journal(error) => error.into(),
            CallError::Unusable => Self::Refused(Error::internal("an unusable instance was called")),
        }
    }
}

impl From<StartError> for Ending {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Guest(error) => error.into(),
            StartError::NoRoom { .. } => Self::Refused(Error::unavailable(error.to_string())),
            StartError::Surroundings(source) => Self::Refused(Error::internal(format!(
                "cannot prepare the worker's surroundings: {source}"
            ))),
        }
    }
}

impl From<SnapshotError> for Ending {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Call(error) => error.into(),
            other => Self::Failed(Failure::of_guest(other.to_string())),
        }
    }
}

impl From<journal::Error> for Ending {
    fn from(error: journal::Error) -> Self {
        Self::Lost(lost(&error))
    }
}

/// What a caller hears when the oplog cannot be read or written: in doubt, to ask again.
pub(crate) fn lost(error: &journal::Error) -> Error {
    match error {
        journal::Error::Corrupt { .. } => Error::corrupt(error.to_string()),
        journal::Error::Broken => Error::unavailable(error.to_string()),
        journal::Error::Append { source, .. } | journal::Error::Read { source, .. } => (**source).clone(),
    }
}

fn entry_kind(kind: TrapKind) -> error_entry::Kind {
    match kind {
        TrapKind::Other => error_entry::Kind::Unknown,
        TrapKind::StackOverflow => error_entry::Kind::StackOverflow,
        TrapKind::ExceededMemoryLimit => error_entry::Kind::ExceededMemoryLimit,
        TrapKind::LimitExceeded => error_entry::Kind::ExceededLimit,
        TrapKind::OutOfMemory => error_entry::Kind::OutOfMemory,
    }
}

/// The result that an oplog entry stands for.
pub(crate) fn recorded_outcome(entry: OplogEntry) -> Result<Recorded, Error> {
    match entry.entry {
        Some(Entry::ExportedFunctionCompleted(completed)) => Ok(Ok(Answer {
            result: completed.response,
            replayed: true,
        })),
        Some(Entry::Error(error)) => Ok(Err(failed(&error))),
        Some(Entry::Exited(_)) => Ok(Err(exited())),
        _ => Err(Error::corrupt(
            "an idempotency key leads to an entry that is no result",
        )),
    }
}

/// For the callers of the invocation that failed.
pub(crate) fn failed(error: &ErrorEntry) -> Error {
    Error::worker_failed(with_stderr("Invocation failed", error))
}

/// For callers who come after it.
pub(crate) fn failed_before(error: Option<&ErrorEntry>) -> Error {
    let unknown = ErrorEntry::default();
    Error::worker_failed(with_stderr(
        "Previous invocation failed",
        error.unwrap_or(&unknown),
    ))
    .with_hint("delete the worker, or revert it to before the failure")
}

/// For the callers of the invocation in which the guest exited.
pub(crate) fn exited() -> Error {
    Error::worker_failed("Process exited")
}

/// For callers who come after it.
pub(crate) fn exited_before() -> Error {
    Error::worker_failed("Previous invocation exited").with_hint("delete the worker to start it afresh")
}

/// For those who wait when a worker is interrupted.
pub(crate) fn interrupted() -> Error {
    Error::new(ErrorCode::Interrupted, "Interrupted via the Golem API")
        .with_hint("resume the worker, or call it again with the same key")
}

/// For those whose invocation was cancelled before it began.
pub(crate) fn cancelled() -> Error {
    Error::conflict("Invocation cancelled").with_hint("call again to run it after all")
}

/// For those who wait when a worker is taken back to before their invocation.
pub(crate) fn reverted() -> Error {
    Error::conflict("Worker is being reverted").with_hint("call again to run it on the reverted worker")
}

/// For those who wait when a worker is deleted.
pub(crate) fn deleted() -> Error {
    Error::conflict("Worker is being deleted")
}

/// What went wrong, with the last lines of stderr.
pub(crate) fn described(error: &ErrorEntry) -> String {
    if error.stderr.is_empty() {
        error.message.clone()
    } else {
        format!("{}\n\nstderr:\n{}", error.message, error.stderr)
    }
}

fn with_stderr(what: &str, error: &ErrorEntry) -> String {
    format!("{what}: {}", described(error))
}
