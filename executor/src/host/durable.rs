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
        self.record_logs();
        let effect = || Payload {
            payload: Some(payload::Payload::Value(effect(self))),
        };
        let response = step::local(&self.journal, function, CallKind::ReadLocal, request, effect)?;
        match response.payload {
            Some(payload::Payload::Value(value)) => Ok(value),
            _ => Ok(Value::default()),
        }
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
        self.passed_logs.extend(self.journal.take_passed_logs());
        for line in lines {
            let recorded = self.passed_logs.iter().position(|entry| is_line(entry, &line));
            match recorded {
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
}

fn is_line(entry: &OplogEntry, line: &LogEntry) -> bool {
    matches!(&entry.entry, Some(Entry::Log(recorded)) if recorded == line)
}
