//! How host functions record what they give the guest (semantics.md §5.1).
//!
//! A function that only reads something of this machine uses [`HostState::read_local`]. Any other one begins, makes its
//! effect unless that is recorded, and ends:
//!
//! ```text
//! let call = match state.begin(NAME, Kind::WriteRemote, request).await? {
//!     Begun::Recorded(value) => return Ok(value),
//!     Begun::New(call) => call,
//! };
//! let response = match effect(call.idempotency_key()).await {
//!     Ok(value) => value,
//!     // Leaves the guest while its retry policy has attempts left; after that the guest sees the error.
//!     Err(trouble) => { state.retry_after(&call, &trouble)?; value_of(trouble) }
//! };
//! state.end(call, response).await
//! ```

use std::borrow::Cow;

use kiln_proto::{
    Error,
    ids::{IdempotencyKey, OplogIndex},
    v1::{LogEntry, OplogEntry, Payload, Value, oplog_entry::Entry, payload, value::Kind},
};
use uuid::Uuid;

use super::{
    HostState,
    idempotency::derived_key,
    limits::LimitExceeded,
    payload::{request, u64_of, u64_value, value_of},
};
use crate::replay::{
    Kind as CallKind,
    step::{self, Manner, StepError},
    writes,
};

/// How a host call begins.
pub(in crate::host) enum Begun {
    /// It was made in an earlier life of the worker, and this is what came of it.
    Recorded(Value),
    /// Its effect has to be made now.
    New(Call),
}

/// A host call whose effect is made now.
#[must_use = "a call that began has to end"]
pub(in crate::host) struct Call {
    step: step::Call,
    invocation_key: IdempotencyKey,
}

/// How a remote write of several steps begins.
pub(in crate::host) struct BegunExchange {
    /// The entry that begins it.
    pub(in crate::host) index: OplogIndex,
    /// Begun now, not in an earlier life of the worker.
    pub(in crate::host) is_new: bool,
    /// Its steps are recorded.
    pub(in crate::host) is_recorded: bool,
    /// It may be made again when a crash has left its outcome unknown.
    pub(in crate::host) is_repeatable: bool,
}

impl Call {
    /// The key under which the effect is made: the same in every life of the worker, another one for every other call.
    pub(in crate::host) fn idempotency_key(&self) -> Uuid {
        derived_key(&self.invocation_key, self.step.begin_index())
    }

    /// The entries with which a copy of this worker answers the call, which it finds in its oplog.
    pub(in crate::host) fn entries(&self, response: Value) -> Vec<Entry> {
        self.step.entries(request(response))
    }

    /// The index at which the call began.
    pub(in crate::host) fn begin_index(&self) -> OplogIndex {
        self.step.begin_index()
    }
}

impl HostState {
    /// Begins a call that touches the world.
    ///
    /// # Errors
    /// A divergence, or when the oplog fails; either ends the guest.
    pub(in crate::host) async fn begin(
        &mut self,
        function: impl Into<Cow<'static, str>>,
        kind: CallKind,
        value: Value,
    ) -> wasmtime::Result<Begun> {
        self.record_logs();
        let manner = Manner {
            kind,
            is_marked: kind == CallKind::WriteRemote && !self.control.is_idempotent,
            is_recorded: self.is_recorded(),
        };
        let begun = step::begin(&self.journal, function, manner, request(value)).await?;
        if kind.is_remote_write() {
            self.control.last_write = self.journal.current_index();
        }
        Ok(match begun {
            step::Begun::Recorded(response) => Begun::Recorded(value_of(response)),
            step::Begun::New(step) => Begun::New(Call {
                step,
                invocation_key: self.invocation.key.clone(),
            }),
        })
    }

    /// Ends a call with what the guest gets, which is recorded first.
    ///
    /// # Errors
    /// When the oplog fails.
    pub(in crate::host) async fn end(&mut self, call: Call, response: Value) -> wasmtime::Result<Value> {
        call.step.end(&self.journal, request(response.clone())).await?;
        Ok(response)
    }

    /// The effect could not be made. Leaves the guest, to try again, as long as its retry policy has attempts left;
    /// after that the caller gives the error to the guest.
    ///
    /// # Errors
    /// The end of this attempt.
    pub(in crate::host) fn retry_after(&self, call: &Call, trouble: &Error) -> wasmtime::Result<()> {
        if trouble.is_retryable() && self.control.has_attempts_left(call.begin_index()) {
            return Err(StepError::from(trouble.clone()).into());
        }
        Ok(())
    }

    /// Begins a remote write of several steps, each a call of kind `WriteRemoteBatched` with the index returned here.
    /// One that a crash has interrupted begins anew: the oplog is live again then.
    ///
    /// # Errors
    /// When it must not be repeated, and as [`HostState::begin`].
    pub(in crate::host) async fn begin_batch(&mut self) -> wasmtime::Result<OplogIndex> {
        self.record_logs();
        if !self.is_recorded() {
            return Ok(self.journal.current_index());
        }
        let begin = writes::begin_batch(&self.journal, self.control.is_idempotent).await?;
        self.control.enter_batch(begin);
        Ok(begin)
    }

    /// Ends a remote write of several steps. Harmless when it has ended.
    ///
    /// # Errors
    /// As [`HostState::begin`].
    pub(in crate::host) async fn end_batch(&mut self, begin: OplogIndex) -> wasmtime::Result<()> {
        if self.control.leave_batch(begin) && self.is_recorded() {
            self.record_logs();
            writes::end_batch(&self.journal, begin).await?;
        }
        Ok(())
    }

    /// Records a step that is no call, and returns its index; on replay it has to be the next recorded entry.
    ///
    /// # Errors
    /// A divergence, or when the oplog fails.
    pub(in crate::host) fn mark(
        &mut self,
        kind: &str,
        fits: impl Fn(&Entry) -> bool,
        entry: impl FnOnce(OplogIndex) -> Entry,
    ) -> wasmtime::Result<OplogIndex> {
        self.record_logs();
        if !self.is_recorded() {
            return Ok(self.journal.current_index());
        }
        self.journal.pass_zone().map_err(StepError::from)?;
        if self.journal.is_live() {
            return Ok(self.journal.append_with(entry));
        }
        Ok(step::expect(&self.journal, kind, fits)?)
    }

    /// Begins a remote write of several steps that can be taken up where a crash has left it: what is recorded of it stays
    /// valid, and several may be under way together.
    ///
    /// # Errors
    /// As [`HostState::begin`].
    pub(in crate::host) async fn begin_exchange(&mut self) -> wasmtime::Result<BegunExchange> {
        self.record_logs();
        let is_recorded = self.is_recorded();
        let (index, is_new) = if is_recorded {
            writes::begin_exchange(&self.journal).await?
        } else {
            (self.journal.current_index(), true)
        };
        self.control.last_write = index;
        if is_recorded {
            self.control.enter_batch(index);
        }
        Ok(BegunExchange {
            index,
            is_new,
            is_recorded,
            is_repeatable: self.control.is_idempotent,
        })
    }

    /// Ends what [`HostState::begin_exchange`] began. Not committed by itself: an end that gets lost is recorded again.
    ///
    /// # Errors
    /// A divergence.
    pub(in crate::host) fn end_exchange(&mut self, begin: OplogIndex) -> wasmtime::Result<()> {
        self.record_logs();
        self.control.leave_batch(begin);
        writes::end_exchange(&self.journal, begin)?;
        Ok(())
    }

    /// As [`HostState::retry_after`], for a step of a write that began at `begin`.
    ///
    /// # Errors
    /// The end of this attempt.
    pub(in crate::host) fn retry_from_begin(
        &self,
        begin: OplogIndex,
        trouble: &Error,
    ) -> wasmtime::Result<()> {
        if trouble.is_retryable() && self.control.has_attempts_left(begin) {
            return Err(StepError::from(trouble.clone()).into());
        }
        Ok(())
    }

    /// False where calls are made again in each life of the worker, and none is recorded.
    pub(in crate::host) fn is_recorded(&self) -> bool {
        let runs_again = self.control.is_in_zone && !self.journal.is_live();
        !runs_again && !self.control.is_snapshotting
    }

    /// A call that only reads something of this machine: recorded, and read from the oplog on replay.
    pub(in crate::host) fn read_local(
        &mut self,
        function: &'static str,
        request: Payload,
        effect: impl FnOnce(&Self) -> Value,
    ) -> wasmtime::Result<Value> {
        if let Some(recorded) = self.recorded(function, &request)? {
            return Ok(recorded);
        }
        let response = effect(self);
        self.record(function, CallKind::ReadLocal, request, response.clone());
        Ok(response)
    }

    /// The recorded response of this very call while replaying; `None` when its effect has to be made now.
    pub(in crate::host) fn recorded(
        &mut self,
        function: &str,
        request: &Payload,
    ) -> wasmtime::Result<Option<Value>> {
        self.record_logs();
        if !self.is_recorded() {
            return Ok(None);
        }
        let recorded = step::recorded(&self.journal, function, request)?;
        Ok(recorded.map(value_of))
    }

    /// Records what a call gave, before the guest sees it.
    pub(in crate::host) fn record(
        &mut self,
        function: &str,
        kind: CallKind,
        request: Payload,
        response: Value,
    ) {
        if self.is_recorded() {
            let response = Payload {
                payload: Some(payload::Payload::Value(response)),
                wit_type: None,
            };
            step::persist(&self.journal, function, kind, request, response);
        }
    }

    pub(super) fn random_bytes(&mut self, function: &'static str, length: u64) -> wasmtime::Result<Vec<u8>> {
        let max = self.limits.random_bytes_max;
        if length > max {
            return Err(LimitExceeded(format!(
                "{length} random bytes asked for at once; the limit is {max}"
            ))
            .into());
        }
        let response = self.read_local(function, request(u64_value(length)), |state| {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            state.outside.fill_random(&mut bytes);
            Value {
                kind: Some(Kind::ByteList(bytes.into())),
            }
        })?;
        match response.kind {
            Some(Kind::ByteList(bytes)) => Ok(bytes.into()),
            _ => Ok(Vec::new()),
        }
    }

    pub(super) fn random_u64(&mut self, function: &'static str) -> wasmtime::Result<u64> {
        let response = self.read_local(function, super::payload::NOTHING, |state| {
            u64_value(state.fresh_u64())
        })?;
        Ok(u64_of(&response))
    }

    pub(super) fn fresh_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.outside.fill_random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Records the lines that the guest has written since the last time, before anything that it does next.
    /// A line that replay has passed over in the oplog is not written a second time.
    pub(super) fn record_logs(&mut self) {
        let lines = self.stdio.take();
        if lines.is_empty() {
            return;
        }
        for line in lines {
            self.record_log(line);
        }
    }

    /// Records one line, unless it is recorded already.
    pub(super) fn record_log(&mut self, line: LogEntry) {
        self.passed_logs.extend(self.journal.take_passed_logs());
        match self.passed_logs.iter().position(|entry| is_line(entry, &line)) {
            Some(at) => {
                self.passed_logs.remove(at);
            }
            None if self.journal.is_live() => {
                self.journal.append(Entry::Log(line));
            }
            None => {}
        }
    }
}

fn is_line(entry: &OplogEntry, line: &LogEntry) -> bool {
    matches!(&entry.entry, Some(Entry::Log(recorded)) if recorded == line)
}
