//! One host call of the guest against the oplog (semantics.md §5.1): begin, then either the recorded response or a new
//! effect that is persisted, then end.

use kiln_proto::{
    convert::to_wave,
    ids::OplogIndex,
    v1::{BeginIndexEntry, EmptyEntry, ImportedFunctionInvokedEntry, Payload, oplog_entry::Entry, payload},
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
    /// Its effect was made now, not in an earlier life of the worker.
    is_new: bool,
}

/// Begins a host call. Everything that a remote write depends on is committed before it. With `marked`, a BeginRemoteWrite entry is committed before the effect, so that a crash in between
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
        if kind.is_remote_write() && journal.is_live() {
            journal.commit().await?;
        }
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
        is_new: false,
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

    /// Records the response of an effect that was made now.
    pub fn persist(&mut self, journal: &Journal, request: Payload, response: Payload) {
        self.is_new = true;
        persist(journal, self.function, self.kind, request, response);
    }

    /// Ends the call: what must be durable before the guest goes on is committed here.
    ///
    /// # Errors
    /// See [`StepError`].
    pub async fn end(self, journal: &Journal) -> Result<(), StepError> {
        if self.marked && journal.is_live() {
            let begin_index = self.begin.0;
            journal.append(Entry::EndRemoteWrite(BeginIndexEntry { begin_index }));
        } else if self.marked {
            expect(journal, "end-remote-write", |entry| {
                matches!(entry, Entry::EndRemoteWrite(_))
            })?;
        }
        if self.is_new && self.kind.is_remote_write() {
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
        let with_request =
            |request: Option<&Payload>| format!("the host call {function} with {}", shown(request));
        return Err(diverged(
            with_request(call.request.as_ref()),
            with_request(Some(request)),
        ));
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

/// A request in words, cut short.
fn shown(request: Option<&Payload>) -> String {
    const SHOWN_MAX: usize = 200;
    let text = match request.and_then(|request| request.payload.as_ref()) {
        Some(payload::Payload::Value(value)) => to_wave(value),
        Some(payload::Payload::Raw(bytes)) => format!("{} bytes", bytes.len()),
        None => "no request".to_owned(),
    };
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kiln_proto::ids::{ComponentId, Epoch, WorkerId};

    use super::*;
    use crate::{
        journal::{MemoryOplog, Options},
        replay::kind_name,
    };

    fn open(store: &Arc<MemoryOplog>) -> Journal {
        let worker = WorkerId {
            component: ComponentId(uuid::Uuid::nil()),
            name: "w".parse().expect("a valid name"),
        };
        Journal::open(store.clone(), Options::new(worker, Epoch(1), store.last())).expect("a readable oplog")
    }

    fn payload(bytes: &'static [u8]) -> Payload {
        Payload {
            payload: Some(payload::Payload::Raw(bytes.into())),
        }
    }

    /// A remote write as host functions make it; the effect is made only when nothing is recorded.
    async fn write(
        journal: &Journal,
        request: &'static [u8],
        effects: &mut u32,
    ) -> Result<Payload, StepError> {
        let mut call = begin(journal, "test::write", Kind::WriteRemote, true).await?;
        let response = match call.recorded(journal, &payload(request))? {
            Some(response) => response,
            None => {
                *effects += 1;
                call.persist(journal, payload(request), payload(b"done"));
                payload(b"done")
            }
        };
        call.end(journal).await?;
        Ok(response)
    }

    fn kinds(store: &MemoryOplog) -> Vec<&'static str> {
        let entries = store.entries().expect("decodable entries");
        entries
            .iter()
            .filter_map(|entry| entry.entry.as_ref().map(kind_name))
            .collect()
    }

    #[tokio::test]
    async fn a_remote_write_is_made_once_and_committed_before_and_after() {
        let store = Arc::new(MemoryOplog::default());
        let mut effects = 0;
        for _ in 0..3 {
            let journal = open(&store);
            let response = write(&journal, b"request", &mut effects)
                .await
                .expect("a response");
            assert_eq!(response, payload(b"done"));
            assert!(!journal.has_uncommitted());
        }
        assert_eq!(effects, 1);
        assert_eq!(
            kinds(&store),
            [
                "begin-remote-write",
                "imported-function-invoked",
                "end-remote-write"
            ]
        );
    }

    #[tokio::test]
    async fn a_marked_write_without_an_end_is_not_repeated() {
        let store = Arc::new(MemoryOplog::default());
        let mut effects = 0;
        write(&open(&store), b"request", &mut effects)
            .await
            .expect("a response");
        store.truncate(OplogIndex(1));
        let error = write(&open(&store), b"request", &mut effects)
            .await
            .expect_err("in doubt");
        assert!(matches!(error, StepError::NotRepeatable));
        assert_eq!(effects, 1);
    }

    #[tokio::test]
    async fn another_request_is_a_divergence() {
        let store = Arc::new(MemoryOplog::default());
        let mut effects = 0;
        write(&open(&store), b"request", &mut effects)
            .await
            .expect("a response");
        let error = write(&open(&store), b"other request", &mut effects)
            .await
            .expect_err("a divergence");
        let StepError::Divergence(divergence) = error else {
            unreachable!("{error}")
        };
        assert_eq!(divergence.index, OplogIndex(2));
        assert_eq!(divergence.expected, "the host call test::write with 7 bytes");
        assert_eq!(divergence.actual, "the host call test::write with 13 bytes");
    }
}
