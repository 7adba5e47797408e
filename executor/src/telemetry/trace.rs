use std::collections::HashMap;

use kiln_proto::{
    ids::{IdempotencyKey, OplogIndex, WorkerId},
    v1::{
        self, ExportedFunctionInvokedEntry, ImportedFunctionInvokedEntry, OplogEntry, function_type::Kind,
        oplog_entry::Entry,
    },
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};

use super::http::Write;
use crate::{
    host::{RpcStep, call_span_id, invocation_span},
    journal::{Region, Regions},
    telemetry::rpc::RpcSpans,
};

/// One request for spans of many traces.
pub(super) fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![attribute("service.name", "kiln")],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "kiln".to_owned(),
        version: kiln_proto::VERSION.to_owned(),
        ..InstrumentationScope::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// The spans of one invocation, its own first. `entries` begin with the one that says that it began; without an end among
/// them it has failed.
pub(super) fn spans(worker: &WorkerId, entries: &[(OplogIndex, OplogEntry)]) -> Vec<Span> {
    let Some((_, first)) = entries.first() else {
        return Vec::new();
    };
    let Some(Entry::ExportedFunctionInvoked(call)) = &first.entry else {
        return Vec::new();
    };
    let Ok(key) = IdempotencyKey::new(&call.idempotency_key) else {
        return Vec::new();
    };
    let mut tree = Tree::of(worker, &key, call, first.timestamp_ns);
    let void = void_regions(entries);
    for (index, entry) in entries.iter().skip(1) {
        if void.end_of(*index).is_none() {
            tree.add(worker, *index, entry);
        }
    }
    tree.spans
}

fn void_regions(entries: &[(OplogIndex, OplogEntry)]) -> Regions {
    let regions = entries.iter().filter_map(|(_, entry)| match &entry.entry {
        Some(Entry::Jump(region)) => Some(Region::from(region)),
        Some(Entry::Revert(region)) => Some(Region {
            start: region.start.into(),
            end: region.end.into(),
        }),
        _ => None,
    });
    Regions::new(regions.collect())
}

/// The spans so far; the first is the invocation's own.
pub(super) struct Tree {
    pub(super) spans: Vec<Span>,
    by_id: HashMap<String, usize>,
    /// Started by the guest and not finished, innermost last.
    open: Vec<usize>,
    /// Writes of several steps, by the index of the entry that begins them.
    pub(super) writes: HashMap<u64, Write>,
    rpc: RpcSpans,
}

impl Tree {
    fn of(
        worker: &WorkerId,
        key: &IdempotencyKey,
        call: &ExportedFunctionInvokedEntry,
        start_ns: u64,
    ) -> Self {
        let given = call.context.as_ref();
        let (trace_id, span_id) = invocation_span(worker, key, given);
        let caller = given
            .and_then(|context| context.stacks.first())
            .and_then(|stack| stack.spans.first());
        let span = Span {
            trace_id: bytes_of(&trace_id),
            span_id: bytes_of(&span_id),
            parent_span_id: caller.map(|span| bytes_of(&span.span_id)).unwrap_or_default(),
            trace_state: given
                .map(|context| context.trace_states.join(","))
                .unwrap_or_default(),
            name: call.function_name.clone(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: start_ns,
            end_time_unix_nano: start_ns,
            attributes: vec![
                attribute("name", "invoke-exported-function"),
                attribute("idempotency_key", key.as_str()),
                attribute("function_name", &call.function_name),
                attribute("worker_id", &worker.urn()),
            ],
            ..Span::default()
        };
        Self {
            spans: vec![span],
            by_id: HashMap::new(),
            open: Vec::new(),
            writes: HashMap::new(),
            rpc: RpcSpans::default(),
        }
    }

    fn add(&mut self, worker: &WorkerId, index: OplogIndex, entry: &OplogEntry) {
        let at_ns = entry.timestamp_ns;
        match &entry.entry {
            Some(Entry::StartSpan(start)) => self.start(start, at_ns),
            Some(Entry::SetSpanAttribute(set)) => {
                if let Some(span) = self
                    .by_id
                    .get(&set.span_id)
                    .and_then(|at| self.spans.get_mut(*at))
                {
                    span.attributes.retain(|pair| pair.key != set.key);
                    span.attributes.push(attribute(&set.key, &set.value));
                }
            }
            Some(Entry::FinishSpan(finish)) => {
                if let Some(at) = self.by_id.get(&finish.span_id).copied() {
                    self.spans[at].end_time_unix_nano = at_ns;
                    self.open.retain(|open| *open != at);
                }
            }
            Some(Entry::BeginRemoteWrite(_)) => self.begin_write(index, at_ns),
            Some(Entry::EndRemoteWrite(end)) => self.end_write(end.begin_index, at_ns),
            Some(Entry::ImportedFunctionInvoked(call)) => self.call(worker, index, call, at_ns),
            Some(Entry::ExportedFunctionCompleted(_)) => {
                self.spans[0].end_time_unix_nano = at_ns;
                self.spans[0].status = None;
            }
            Some(Entry::Error(error)) => {
                self.spans[0].end_time_unix_nano = at_ns;
                self.spans[0].status = Some(Status {
                    message: error.message.clone(),
                    code: StatusCode::Error.into(),
                });
            }
            _ => {}
        }
    }

    fn start(&mut self, start: &v1::StartSpanEntry, at_ns: u64) {
        let find = |pair: &v1::KeyValue| (pair.key == "name").then(|| pair.value.clone());
        let parent = start.parent.as_ref().map(|parent| bytes_of(parent));
        let span = Span {
            span_id: bytes_of(&start.span_id),
            parent_span_id: parent.unwrap_or_else(|| self.current().span_id.clone()),
            name: start.attributes.iter().find_map(find).unwrap_or_default(),
            kind: SpanKind::Internal.into(),
            attributes: start
                .attributes
                .iter()
                .map(|pair| attribute(&pair.key, &pair.value))
                .collect(),
            ..self.child(at_ns)
        };
        self.by_id.insert(start.span_id.clone(), self.spans.len());
        self.open.push(self.spans.len());
        self.spans.push(span);
    }

    /// A call to the world. What a worker learns of its own machine is not worth a span.
    fn call(
        &mut self,
        worker: &WorkerId,
        index: OplogIndex,
        call: &ImportedFunctionInvokedEntry,
        at_ns: u64,
    ) {
        if self.http_step(worker, call, at_ns) {
            return;
        }
        if let Some(step) = RpcStep::of(call) {
            let child = Span {
                parent_span_id: self.current().span_id.clone(),
                ..self.child(at_ns)
            };
            self.rpc.add(&mut self.spans, step, &child);
            return;
        }
        let kind = call.function_type.unwrap_or_default().kind();
        if kind == Kind::ReadLocal {
            return;
        }
        let span = Span {
            span_id: bytes_of(&call_span_id(worker, index)),
            parent_span_id: self.current().span_id.clone(),
            name: call.function_name.clone(),
            kind: SpanKind::Client.into(),
            attributes: vec![attribute("oplog_index", &index.0.to_string())],
            ..self.child(at_ns)
        };
        self.spans.push(span);
    }

    pub(super) fn current(&self) -> &Span {
        &self.spans[self.open.last().copied().unwrap_or(0)]
    }

    pub(super) fn child(&self, at_ns: u64) -> Span {
        Span {
            trace_id: self.spans[0].trace_id.clone(),
            trace_state: self.spans[0].trace_state.clone(),
            start_time_unix_nano: at_ns,
            end_time_unix_nano: at_ns,
            ..Span::default()
        }
    }
}

pub(super) fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// Reads hexadecimal digits; ids that are none become empty, which OpenTelemetry reads as absent.
pub(super) fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect::<Option<_>>().unwrap_or_default()
}
