//! Small builders and readers of recorded values.

use bytes::Bytes;
use kiln_proto::v1::{
    CaseName, FieldValue, OptionValue, RecordValue, ResultValue, Value, ValueList, VariantValue, value::Kind,
};

pub(super) fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

pub(super) fn option(some: Option<Value>) -> Value {
    value(Kind::Option(Box::new(OptionValue {
        value: some.map(Box::new),
    })))
}

pub(super) fn option_of(from: Value) -> Option<Value> {
    match from.kind {
        Some(Kind::Option(option)) => option.value.map(|value| *value),
        _ => None,
    }
}

pub(super) fn result(from: Result<Option<Value>, Value>) -> Value {
    let (is_error, payload) = match from {
        Ok(payload) => (false, payload),
        Err(payload) => (true, Some(payload)),
    };
    value(Kind::Result(Box::new(ResultValue {
        is_error,
        payload: payload.map(Box::new),
    })))
}

/// A missing payload reads as an empty value.
pub(super) fn result_of(from: Value) -> Result<Value, Value> {
    match from.kind {
        Some(Kind::Result(result)) => {
            let payload = result.payload.map(|value| *value).unwrap_or_default();
            if result.is_error {
                Err(payload)
            } else {
                Ok(payload)
            }
        }
        _ => Err(Value::default()),
    }
}

pub(super) fn variant(name: &str, index: u32, payload: Option<Value>) -> Value {
    value(Kind::Variant(Box::new(VariantValue {
        case: Some(CaseName {
            name: name.to_owned(),
            index,
        }),
        payload: payload.map(Box::new),
    })))
}

pub(super) fn variant_of(from: Value) -> (String, Option<Value>) {
    match from.kind {
        Some(Kind::Variant(variant)) => (
            variant.case.map(|case| case.name).unwrap_or_default(),
            variant.payload.map(|value| *value),
        ),
        _ => (String::new(), None),
    }
}

pub(super) fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().map(|(name, value)| FieldValue {
        name: name.to_owned(),
        value: Some(value),
    });
    value(Kind::Record(RecordValue {
        fields: fields.collect(),
    }))
}

/// Takes a field out of a record; an empty value when it has none of that name.
pub(super) fn take_field(record: &mut Value, name: &str) -> Value {
    let Some(Kind::Record(record)) = &mut record.kind else {
        return Value::default();
    };
    let field = record.fields.iter_mut().find(|field| field.name == name);
    field.and_then(|field| field.value.take()).unwrap_or_default()
}

pub(super) fn bytes(from: Bytes) -> Value {
    value(Kind::ByteList(from))
}

pub(super) fn bytes_of(from: Value) -> Bytes {
    match from.kind {
        Some(Kind::ByteList(bytes)) => bytes,
        _ => Bytes::new(),
    }
}

pub(super) fn tuple(first: Value, second: Value) -> Value {
    value(Kind::Tuple(ValueList {
        values: vec![first, second],
    }))
}

pub(super) fn items_of(from: Value) -> Vec<Value> {
    match from.kind {
        Some(Kind::List(list) | Kind::Tuple(list)) => list.values,
        _ => Vec::new(),
    }
}
