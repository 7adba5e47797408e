//! `golem:api/context`: spans that the guest starts, and what it sees of the trace that it is part of.
//!
//! * `span` – starting, describing and finishing spans, each step an entry of the oplog
//! * `view` – the invocation's context as of a moment

mod span;
mod view;

use kiln_proto::v1::{FieldValue, Value, value::Kind};

use crate::host::{HostState, dynamic::Interface, golem::shapes::text_field, spans::Spans};

pub(in crate::host) use span::finish_open_spans;

pub(super) fn interface() -> Interface {
    let interface = Interface::new("golem:api/context", &["1.1."]).function(
        &["allow-forwarding-trace-context-headers"],
        |state, mut arguments| {
            Box::pin(async move {
                let allow = arguments.bool()?;
                let before = std::mem::replace(&mut state.forwards_trace, allow);
                Ok(Some(before.into()))
            })
        },
    );
    view::add(span::add(interface))
}

impl HostState {
    /// The spans of the invocation at hand.
    pub(in crate::host) fn spans(&mut self) -> &mut Spans {
        let (invocation, worker) = (&self.invocation, &self.context.id);
        self.spans.get_or_insert_with(|| Spans::of(invocation, worker))
    }
}

fn attribute(key: &str, value: &str) -> Value {
    Value::record(vec![
        FieldValue::of("key", key),
        FieldValue::of("value", text(value)),
    ])
}

/// `attribute-value`
fn text(text: &str) -> Value {
    Value::variant("string", Some(text.into()))
}

fn text_of(value: &Value) -> wasmtime::Result<String> {
    if let Some(Kind::Variant(variant)) = &value.kind
        && let Some(Kind::StringValue(text)) =
            variant.payload.as_ref().and_then(|payload| payload.kind.as_ref())
    {
        return Ok(text.clone());
    }
    wasmtime::bail!("an attribute's value is a string")
}

fn attribute_of(record: &Value) -> wasmtime::Result<(String, String)> {
    let value = crate::host::golem::shapes::field(record, &["value"])?;
    Ok((text_field(record, &["key"])?, text_of(value)?))
}
