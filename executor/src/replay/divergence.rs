use kiln_proto::{
    convert::oplog::kind_name,
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
