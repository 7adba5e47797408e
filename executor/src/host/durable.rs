//! How host functions record what they give the guest.

use kiln_proto::v1::{LogEntry, OplogEntry, Payload, Value, oplog_entry::Entry, payload, value::Kind};

use super::{
    HostState,
    payload::{request, u64_of, u64_value},
};
use crate::replay::{Kind as CallKind, step};

/// Most random bytes that a guest gets at once.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

impl HostState {
    /// A call that only reads something of this machine: recorded, and read from the oplog on replay.
    pub(super) fn read_local(
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
    pub(super) fn recorded(&mut self, function: &str, request: &Payload) -> wasmtime::Result<Option<Value>> {
        self.record_logs();
        let recorded = step::recorded(&self.journal, function, request)?;
        Ok(recorded.map(|response| match response.payload {
            Some(payload::Payload::Value(value)) => value,
            _ => Value::default(),
        }))
    }

    /// Records what a call gave, before the guest sees it.
    pub(super) fn record(&mut self, function: &str, kind: CallKind, request: Payload, response: Value) {
        let response = Payload {
            payload: Some(payload::Payload::Value(response)),
        };
        step::persist(&self.journal, function, kind, request, response);
    }

    pub(super) fn random_bytes(&mut self, function: &'static str, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > RANDOM_BYTES_MAX {
            wasmtime::bail!("{length} random bytes asked for at once; the limit is {RANDOM_BYTES_MAX}");
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
