//! Outgoing HTTP: a request with all that comes of it is one span, under the id that the server was told.

use kiln_proto::{
    ids::{OplogIndex, WorkerId},
    v1::{ImportedFunctionInvokedEntry, payload::Payload, value},
};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};

use super::trace::{Tree, attribute, bytes_of};
use crate::host::call_span_id;

/// A write of several steps, which is one span however many entries record it.
pub(super) struct Write {
    began_ns: u64,
    /// The span that it lies in.
    parent: Vec<u8>,
    /// Its own, once an entry has told what is written.
    span: Option<usize>,
}

impl Tree {
    /// A write of several steps begins. What is written shows with its first step.
    pub(super) fn begin_write(&mut self, index: OplogIndex, at_ns: u64) {
        let write = Write {
            began_ns: at_ns,
            parent: self.current().span_id.clone(),
            span: None,
        };
        self.writes.insert(index.0, write);
    }

    pub(super) fn end_write(&mut self, begin: u64, at_ns: u64) {
        if let Some(span) = self.writes.remove(&begin).and_then(|write| write.span) {
            self.spans[span].end_time_unix_nano = at_ns;
        }
    }

    /// A step of an outgoing HTTP request. False for any other call.
    pub(super) fn http_step(
        &mut self,
        worker: &WorkerId,
        call: &ImportedFunctionInvokedEntry,
        at_ns: u64,
    ) -> bool {
        let begin = call.function_type.unwrap_or_default().begin_index;
        let Some(write) = self.writes.get_mut(&begin) else {
            return false;
        };
        if let Some(span) = write.span {
            self.spans[span].end_time_unix_nano = at_ns;
            return true;
        }
        let Some([method, uri]) = http_request(call) else {
            return false;
        };
        write.span = Some(self.spans.len());
        let (began_ns, parent_span_id) = (write.began_ns, write.parent.clone());
        let span = Span {
            span_id: bytes_of(&call_span_id(worker, OplogIndex(begin))),
            parent_span_id,
            name: "outgoing-http-request".to_owned(),
            kind: SpanKind::Client.into(),
            attributes: vec![
                attribute("name", "outgoing-http-request"),
                attribute("request.method", &method),
                attribute("request.uri", &uri),
            ],
            end_time_unix_nano: at_ns,
            ..self.child(began_ns)
        };
        self.spans.push(span);
        true
    }
}

/// Method and URI, if the call is a step of an outgoing HTTP request.
fn http_request(call: &ImportedFunctionInvokedEntry) -> Option<[String; 2]> {
    if !call.function_name.contains("http::types::") {
        return None;
    }
    let Some(Payload::Value(request)) = &call.request.as_ref()?.payload else {
        return None;
    };
    let Some(value::Kind::Record(request)) = &request.kind else {
        return None;
    };
    let text = |name: &str| {
        let field = request.fields.iter().find(|field| field.name == name)?;
        match field.value.as_ref()?.kind.as_ref()? {
            value::Kind::StringValue(text) => Some(text.clone()),
            _ => None,
        }
    };
    Some([text("method")?, text("uri")?])
}
