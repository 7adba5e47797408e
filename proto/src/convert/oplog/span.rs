//! Spans and their attributes.

use super::{Form, fields::field};
use crate::v1::{FieldValue, KeyValue, Span, StartSpanEntry, Value};

pub(super) fn span(span: &Span, form: &dyn Form) -> Value {
    if span.external {
        let known = Value::record(vec![field("span-id", &span.span_id)]);
        return Value::variant("external-span", Some(known));
    }
    let known = Value::record(vec![
        field("span-id", &span.span_id),
        field("start", form.time(span.start_ns)),
        field("parent", span.parent.as_ref()),
        field("linked-context", span.linked_stack),
        field("attributes", attributes(&span.attributes)),
        field("inherited", span.inherited),
    ]);
    Value::variant("local-span", Some(known))
}

pub(super) fn start_span(span: &StartSpanEntry) -> Vec<FieldValue> {
    vec![
        field("span-id", &span.span_id),
        field("parent", span.parent.as_ref()),
        field("linked-context", span.linked_context.as_ref()),
        field("attributes", attributes(&span.attributes)),
    ]
}

fn attributes(pairs: &[KeyValue]) -> Value {
    let attribute = |pair: &KeyValue| {
        Value::record(vec![
            field("key", &pair.key),
            field("value", attribute_value(&pair.value)),
        ])
    };
    pairs.iter().map(attribute).collect()
}

pub(super) fn attribute_value(text: &str) -> Value {
    Value::variant("string", Some(text.into()))
}
