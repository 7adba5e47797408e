//! Spans of calls from worker to worker: the callee's own span lies below these, so that a tree has no gaps.

use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use uuid::Uuid;

use super::trace::{attribute, bytes_of};
use crate::host::{CALL_SPAN, CONNECTION_SPAN, RpcStep, rpc_span_id};

/// Where the spans of calls are in the tree of their caller.
#[derive(Default)]
pub(super) struct RpcSpans {
    /// Position of the span of the connection; that of the call follows it.
    by_key: HashMap<Uuid, usize>,
    last: Option<Uuid>,
}

impl RpcSpans {
    /// Takes in what the oplog tells of a call. `child` makes a span below the current one.
    pub(super) fn add(&mut self, spans: &mut Vec<Span>, step: RpcStep, child: &Span) {
        match step {
            RpcStep::Begun(key) => self.begin(spans, key, child),
            RpcStep::Told {
                key,
                worker,
                function,
            } => {
                let position = key.or(self.last).and_then(|key| self.by_key.get(&key).copied());
                let Some([connection, call]) = position.and_then(|at| spans.get_mut(at..at + 2)) else {
                    return;
                };
                for span in [&mut *connection, &mut *call] {
                    span.end_time_unix_nano = child.end_time_unix_nano;
                }
                set(connection, "target_worker_id", &worker.urn());
                set(call, "function_name", &function);
            }
        }
    }

    fn begin(&mut self, spans: &mut Vec<Span>, key: Uuid, child: &Span) {
        let make = |name: &str, parent_span_id: Vec<u8>| Span {
            span_id: bytes_of(&rpc_span_id(key, name)),
            parent_span_id,
            name: name.to_owned(),
            kind: SpanKind::Client.into(),
            attributes: vec![attribute("name", name)],
            ..child.clone()
        };
        let connection = make(CONNECTION_SPAN, child.parent_span_id.clone());
        let mut call = make(CALL_SPAN, connection.span_id.clone());
        set(&mut call, "idempotency_key", &key.to_string());
        self.by_key.insert(key, spans.len());
        self.last = Some(key);
        spans.extend([connection, call]);
    }
}

fn set(span: &mut Span, key: &str, value: &str) {
    span.attributes.retain(|pair| pair.key != key);
    span.attributes.push(attribute(key, value));
}
