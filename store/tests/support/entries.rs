//! Oplogs to write: a worker's first entry, and those of a call.

use bytes::Bytes;
use kiln_proto::{
    ids::{ComponentId, WorkerId},
    v1::{
        CreateEntry, ExportedFunctionCompletedEntry, ExportedFunctionInvokedEntry, OplogEntry,
        PendingWorkerInvocationEntry, oplog_entry::Entry, pending_worker_invocation_entry::Invocation,
    },
};
use prost::Message;

pub fn worker(name: &str) -> WorkerId {
    let component = ComponentId("00000000-0000-0000-0000-000000000007".parse().expect("a UUID"));
    WorkerId {
        component,
        name: name.parse().expect("a name"),
    }
}

pub fn encode(entry: Entry) -> Bytes {
    OplogEntry {
        timestamp_ns: 1,
        entry: Some(entry),
    }
    .encode_to_vec()
    .into()
}

pub fn create(worker: &WorkerId) -> Bytes {
    encode(Entry::Create(CreateEntry {
        worker_id: Some(worker.into()),
        ..Default::default()
    }))
}

/// The three entries of a call without side effects.
pub fn invocation(key: &str) -> Vec<Bytes> {
    let function = ExportedFunctionInvokedEntry {
        function_name: "test:counter/api.{increment}".into(),
        idempotency_key: key.into(),
        ..Default::default()
    };
    let pending = PendingWorkerInvocationEntry {
        invocation: Some(Invocation::ExportedFunction(function.clone())),
    };
    vec![
        encode(Entry::PendingWorkerInvocation(pending)),
        encode(Entry::ExportedFunctionInvoked(function)),
        encode(Entry::ExportedFunctionCompleted(
            ExportedFunctionCompletedEntry::default(),
        )),
    ]
}
