//! One host call of the guest against the oplog (semantics.md §5.1): begin, then either the recorded response or a new
//! effect that is persisted, then end.

use std::{borrow::Cow, sync::Arc};

use kiln_proto::{
    convert::to_wave,
    ids::OplogIndex,
    v1::{
        BeginIndexEntry, EmptyEntry, ImportedFunctionInvokedEntry, OplogEntry, Payload, oplog_entry::Entry,
        payload,
    },
};

use super::{Divergence, Kind, divergence::describe, writes::has_end};
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
    #[error("Non-idempotent remote write operation was not completed, cannot retry")]
    NotRepeatable,
    /// An effect could not be made now; the attempt ends, to be made again later.
    #[error("{0}")]
    Trouble(Box<kiln_proto::Error>),
}

/// A question to the cluster that has no answer ends the attempt: the worker comes back to this call.
impl From<kiln_proto::Error> for StepError {
    fn from(error: kiln_proto::Error) -> Self {
        Self::Trouble(Box::new(error))
    }
}

/// How a host call is to be treated.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// How it touches the world.
    pub kind: Kind,
    /// A BeginRemoteWrite entry is committed before the effect, so that a crash in between is seen: for remote writes that
    /// must not be repeated blindly.
    pub is_marked: bool,
    /// False where nothing is recorded and nothing is replayed: in a zone without persistence that runs again, and while
    /// a snapshot is taken.
    pub is_recorded: bool,
}

/// How a host call begins.
#[derive(Debug)]
pub enum Begun {
    /// It was made in an earlier life of the worker, and this is what came of it.
    Recorded(Payload),
    /// Its effect has to be made now.
    New(Call),
}

/// A durable host call whose effect is made now, from [`begin`] to [`Call::end`].
#[derive(Debug)]
#[must_use = "a call that began has to end"]
pub struct Call {
    function: Cow<'static, str>,
    manner: Manner,
    request: Payload,
    begin: OplogIndex,
}

/// Begins a host call: finds what is recorded of it, or commits everything that its effect depends on.
///
/// # Errors
/// See [`StepError`].
pub async fn begin(
    journal: &Journal,
    function: impl Into<Cow<'static, str>>,
    manner: Manner,
    request: Payload,
) -> Result<Begun, StepError> {
    let function = function.into();
    if manner.is_recorded {
        journal.pass_zone()?;
        if !journal.is_live() {
            return replay(journal, function, manner, request).await;
        }
    }
    let begin = if manner.is_recorded && manner.is_marked {
        let begin = journal.append(Entry::BeginRemoteWrite(EmptyEntry {}));
        journal.commit().await?;
        begin
    } else {
        if manner.kind.is_remote_write() {
            journal.commit().await?;
        }
        journal.current_index()
    };
    Ok(Begun::New(Call {
        function,
        manner,
        request,
        begin,
    }))
}

async fn replay(
    journal: &Journal,
    function: Cow<'static, str>,
    manner: Manner,
    request: Payload,
) -> Result<Begun, StepError> {
    if manner.is_marked {
        let begin = expect(journal, "begin-remote-write", |entry| {
            matches!(entry, Entry::BeginRemoteWrite(_))
        })?;
        if !has_end(journal, begin)? {
            return Err(StepError::NotRepeatable);
        }
    }
    let response = recorded(journal, &function, &request)?;
    if manner.is_marked {
        expect(journal, "end-remote-write", |entry| {
            matches!(entry, Entry::EndRemoteWrite(_))
        })?;
    }
    response.map_or_else(
        // Only with a marker, and then an end was found ahead.
        || Err(StepError::NotRepeatable),
        |response| Ok(Begun::Recorded(response)),
    )
}

impl Call {
    /// The index under which derived idempotency keys of this call are made.
    #[must_use]
    pub fn begin_index(&self) -> OplogIndex {
        self.begin
    }

    /// Records the response and ends the call: what must be durable before the guest goes on is committed here.
    ///
    /// # Errors
    /// See [`StepError`].
    pub async fn end(self, journal: &Journal, response: Payload) -> Result<(), StepError> {
        if !self.manner.is_recorded {
            return Ok(());
        }
        let is_remote_write = self.manner.kind.is_remote_write();
        for entry in self.into_entries(response) {
            journal.append(entry);
        }
        if is_remote_write {
            journal.commit().await?;
        }
        Ok(())
    }

    /// The entries that end the call with this response.
    #[must_use]
    pub fn entries(&self, response: Payload) -> Vec<Entry> {
        let copy = Self {
            function: self.function.clone(),
            request: self.request.clone(),
            ..*self
        };
        copy.into_entries(response)
    }

    fn into_entries(self, response: Payload) -> Vec<Entry> {
        let answered = Entry::ImportedFunctionInvoked(ImportedFunctionInvokedEntry {
            function_name: self.function.into_owned(),
            request: Some(self.request),
            response: Some(response),
            function_type: Some(self.manner.kind.into()),
        });
        let begin_index = self.begin.0;
        let marker = || Entry::EndRemoteWrite(BeginIndexEntry { begin_index });
        std::iter::once(answered)
            .chain(self.manner.is_marked.then(marker))
            .collect()
    }
}

/// Records a host call with its response.
pub fn persist(
    journal: &Journal,
    function: impl Into<String>,
    kind: Kind,
    request: Payload,
    response: Payload,
) -> OplogIndex {
    persist_with(journal, function, kind, request, |_| response)
}

/// As [`persist`], with a response that depends on the index of the entry.
pub fn persist_with(
    journal: &Journal,
    function: impl Into<String>,
    kind: Kind,
    request: Payload,
    response: impl FnOnce(OplogIndex) -> Payload,
) -> OplogIndex {
    let function_name = function.into();
    journal.append_with(|index| {
        Entry::ImportedFunctionInvoked(ImportedFunctionInvokedEntry {
            function_name,
            request: Some(request),
            response: Some(response(index)),
            function_type: Some(kind.into()),
        })
    })
}

/// Takes the next recorded entry, which has to be this very call, and returns its response. `None` when nothing is left to
/// replay: the effect has to be made now, and recorded by [`persist`].
///
/// # Errors
/// See [`StepError`].
pub fn recorded(journal: &Journal, function: &str, request: &Payload) -> Result<Option<Payload>, StepError> {
    journal.pass_zone()?;
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
    if !is_same(call.request.as_ref(), request) {
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

/// Compared as it is encoded where that is needed, because NaN is not equal to itself.
fn is_same(recorded: Option<&Payload>, request: &Payload) -> bool {
    use prost::Message as _;
    recorded == Some(request)
        || recorded.is_some_and(|recorded| recorded.encode_to_vec() == request.encode_to_vec())
}

/// Takes the next recorded entry, which has to fit, and returns its index; where execution stands when nothing is left.
///
/// # Errors
/// A divergence, or when the oplog cannot be read.
pub fn expect(journal: &Journal, kind: &str, fits: impl Fn(&Entry) -> bool) -> Result<OplogIndex, StepError> {
    journal.pass_zone()?;
    expect_here(journal, kind, fits)
}

/// As [`expect`], for what ends a zone without persistence.
///
/// # Errors
/// A divergence, or when the oplog cannot be read.
pub fn expect_here(
    journal: &Journal,
    kind: &str,
    fits: impl Fn(&Entry) -> bool,
) -> Result<OplogIndex, StepError> {
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

/// Takes the next recorded entry, which has to be a host call, whichever it is; for guests that replay their own calls.
/// `None` when nothing is left to replay.
///
/// # Errors
/// A divergence, or when the oplog cannot be read.
pub fn take_call(journal: &Journal) -> Result<Option<Arc<OplogEntry>>, StepError> {
    journal.pass_zone()?;
    let head = journal.peek().map(|(_, entry)| entry);
    if head.is_some() {
        expect(journal, "a call that the guest reads back", |entry| {
            matches!(entry, Entry::ImportedFunctionInvoked(_))
        })?;
    }
    Ok(head)
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
            wit_type: None,
        }
    }

    /// A remote write as host functions make it; the effect is made only when nothing is recorded.
    async fn write(
        journal: &Journal,
        request: &'static [u8],
        effects: &mut u32,
    ) -> Result<Payload, StepError> {
        let manner = Manner {
            kind: Kind::WriteRemote,
            is_marked: true,
            is_recorded: true,
        };
        match begin(journal, "test::write", manner, payload(request)).await? {
            Begun::Recorded(response) => Ok(response),
            Begun::New(call) => {
                *effects += 1;
                call.end(journal, payload(b"done")).await?;
                Ok(payload(b"done"))
            }
        }
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
