//! One host call of the guest against the oplog (semantics.md §5.1): begin, then either the recorded response or a new
//! effect that is persisted, then end.

use kiln_proto::ids::OplogIndex;
use kiln_proto::v1::{
    BeginIndexEntry, EmptyEntry, ImportedFunctionInvokedEntry, Payload, oplog_entry::Entry,
};

use super::{Divergence, Kind, divergence::describe};
use crate::journal::{self, Journal};

/// Why a host call could not be matched or recorded. It ends the guest.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StepError {
    /// The guest does something else than is recorded.
    #[error(transparent)]
    Divergence(#[from] Box<Divergence>),
    /// The oplog failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A remote write was begun and not completed, and the guest said that it must not be repeated.
    #[error("non-idempotent remote write operation was not completed, cannot retry")]
    NotRepeatable,
}

/// A durable host call from [`begin`] to [`Call::end`].
#[derive(Debug)]
#[must_use = "a call that began has to end"]
pub struct Call {
    function: &'static str,
    kind: Kind,
    begin: OplogIndex,
    marked: bool,
}

/// Begins a host call. With `marked`, a BeginRemoteWrite entry is committed before the effect, so that a crash in between
/// is seen: for remote writes that must not be repeated blindly.
///
/// # Errors
/// See [`StepError`].
pub async fn begin(
    journal: &Journal,
    function: &'static str,
    kind: Kind,
    marked: bool,
) -> Result<Call, StepError> {
    let begin = if !marked {
        journal.current_index()
    } else if journal.is_live() {
        let begin = journal.append(Entry::BeginRemoteWrite(EmptyEntry {}));
        journal.commit().await?;
        begin
    } else {
        let begin = expect(journal, "begin-remote-write", |entry| {
            matches!(entry, Entry::BeginRemoteWrite(_))
        })?;
        if journal.is_live() {
            return Err(StepError::NotRepeatable);
        }
        begin
    };
    Ok(Call {
        function,
        kind,
        begin,
        marked,
    })
}

impl Call {
    /// The index under which derived idempotency keys of this call are made.
    #[must_use]
    pub fn begin_index(&self) -> OplogIndex {
        self.begin
    }

    /// The recorded response while replaying; `None` when the effect has to be made now.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn recorded(&self, journal: &Journal, request: &Payload) -> Result<Option<Payload>, StepError> {
        recorded(journal, self.function, request)
    }

    /// Records the response.
    pub fn persist(&self, journal: &Journal, request: Payload, response: Payload) {
        persist(journal, self.function, self.kind, request, response);
    }

    /// Ends the call: what must be durable before the guest goes on is committed here.
    ///
    /// # Errors
    /// See [`StepError`].
    pub async fn end(self, journal: &Journal, live: bool) -> Result<(), StepError> {
        if self.marked && journal.is_live() {
            journal.append(Entry::EndRemoteWrite(BeginIndexEntry {
                begin_index: self.begin.0,
            }));
        } else if self.marked {
            expect(journal, "end-remote-write", |entry| {
                matches!(entry, Entry::EndRemoteWrite(_))
            })?;
        }
        if live && self.kind.is_remote_write() {
            journal.commit().await?;
        }
        Ok(())
    }
}

/// Records a host call with its response.
pub fn persist(journal: &Journal, function: &str, kind: Kind, request: Payload, response: Payload) {
    journal.append(Entry::ImportedFunctionInvoked(ImportedFunctionInvokedEntry {
        function_name: function.to_owned(),
        request: Some(request),
        response: Some(response),
        function_type: Some(kind.into()),
    }));
}

/// Takes the next recorded entry, which has to be this very call, and returns its response. `None` when nothing is left to
/// replay: the effect has to be made now, and recorded by [`persist`].
///
/// # Errors
/// See [`StepError`].
pub fn recorded(journal: &Journal, function: &str, request: &Payload) -> Result<Option<Payload>, StepError> {
    let Some((index, entry)) = journal.peek() else {
        return Ok(None);
    };
    let diverged = |expected: String, actual: String| {
        StepError::from(Box::new(Divergence {
            worker: journal.worker().clone(),
            index,
            expected,
            actual,
        }))
    };
    let Some(Entry::ImportedFunctionInvoked(call)) = &entry.entry else {
        return Err(diverged(
            describe(entry.entry.as_ref()),
            format!("the host call {function}"),
        ));
    };
    if call.function_name != function {
        return Err(diverged(
            describe(entry.entry.as_ref()),
            format!("the host call {function}"),
        ));
    }
    if call.request.as_ref() != Some(request) {
        let shown = |payload: Option<&Payload>| format!("{function} with the request {payload:?}");
        return Err(diverged(shown(call.request.as_ref()), shown(Some(request))));
    }
    let response = call.response.clone().unwrap_or_default();
    journal.take()?;
    Ok(Some(response))
}

fn expect(journal: &Journal, kind: &str, fits: impl Fn(&Entry) -> bool) -> Result<OplogIndex, StepError> {
    match journal.peek() {
        Some((index, entry)) if entry.entry.as_ref().is_some_and(&fits) => {
            journal.take()?;
            Ok(index)
        }
        Some((index, entry)) => {
            let (worker, expected) = (journal.worker().clone(), describe(entry.entry.as_ref()));
            Err(Box::new(Divergence {
                worker,
                index,
                expected,
                actual: kind.to_owned(),
            })
            .into())
        }
        None => Ok(journal.current_index()),
    }
}
