//! Requests and responses of host calls as the oplog keeps them.

use kiln_proto::v1::{Payload, Value, ValueList, payload, value::Kind};

/// The request of a call without parameters.
pub(super) const NOTHING: Payload = Payload {
    payload: None,
    wit_type: None,
};

pub(super) fn request(value: Value) -> Payload {
    Payload {
        payload: Some(payload::Payload::Value(value)),
        wit_type: None,
    }
}

/// What a payload that `request` made holds.
pub(super) fn value_of(payload: Payload) -> Value {
    match payload.payload {
        Some(payload::Payload::Value(value)) => value,
        _ => Value::default(),
    }
}

pub(super) fn u64_value(number: u64) -> Value {
    Value {
        kind: Some(Kind::U64Value(number)),
    }
}

/// The number, or 0: what is recorded was written by `u64_value`.
pub(super) fn u64_of(value: &Value) -> u64 {
    match value.kind {
        Some(Kind::U64Value(number)) => number,
        _ => 0,
    }
}

pub(super) fn string(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

pub(super) fn list_of(values: impl Iterator<Item = Value>) -> Value {
    Value {
        kind: Some(Kind::List(ValueList {
            values: values.collect(),
        })),
    }
}

pub(super) fn text_of(value: Value) -> Option<String> {
    match value.kind {
        Some(Kind::StringValue(text)) => Some(text),
        _ => None,
    }
}

pub(super) fn texts_of(values: Vec<Value>) -> Vec<String> {
    values.into_iter().filter_map(text_of).collect()
}
