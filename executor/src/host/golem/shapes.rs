//! Ids and records as guests see them.

use kiln_proto::{
    ids::{ComponentId, OplogIndex, WorkerId},
    v1::{CaseName, FieldValue, OptionValue, PromiseId, RecordValue, Value, ValueList, value::Kind},
};
use uuid::Uuid;

use crate::host::payload::{string, u64_value};

pub(in crate::host) fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.map(|(name, value)| FieldValue {
        name: name.to_owned(),
        value: Some(value),
    });
    Value {
        kind: Some(Kind::Record(RecordValue {
            fields: fields.into(),
        })),
    }
}

pub(in crate::host) fn list(values: Vec<Value>) -> Value {
    Value {
        kind: Some(Kind::List(ValueList { values })),
    }
}

pub(in crate::host) fn pairs(list_of: &[(String, String)]) -> Value {
    let pair = |(name, value): &(String, String)| Value {
        kind: Some(Kind::Tuple(ValueList {
            values: vec![string(name), string(value)],
        })),
    };
    list(list_of.iter().map(pair).collect())
}

pub(in crate::host) fn option(some: Option<Value>) -> Value {
    Value {
        kind: Some(Kind::Option(Box::new(OptionValue {
            value: some.map(Box::new),
        }))),
    }
}

/// An enum's case by its name; its place follows from the declared shape.
pub(in crate::host) fn case(name: &str) -> Value {
    Value {
        kind: Some(Kind::EnumValue(CaseName {
            name: name.to_owned(),
            index: 0,
        })),
    }
}

pub(in crate::host) fn bool_value(it: bool) -> Value {
    Value {
        kind: Some(Kind::BoolValue(it)),
    }
}

pub(in crate::host) fn bytes(bytes: bytes::Bytes) -> Value {
    Value {
        kind: Some(Kind::ByteList(bytes)),
    }
}

pub(in crate::host) fn uuid(id: Uuid) -> Value {
    let (high, low) = id.as_u64_pair();
    record([("high-bits", u64_value(high)), ("low-bits", u64_value(low))])
}

pub(in crate::host) fn component_id(id: ComponentId) -> Value {
    record([("uuid", uuid(id.0))])
}

pub(in crate::host) fn worker_id(id: &WorkerId) -> Value {
    record([
        ("component-id", component_id(id.component)),
        ("worker-name", string(id.name.as_str())),
    ])
}

pub(in crate::host) fn promise_id(worker: &WorkerId, index: OplogIndex) -> Value {
    record([
        ("worker-id", worker_id(worker)),
        ("oplog-idx", u64_value(index.0)),
    ])
}

/// The field under one of its names.
pub(in crate::host) fn field<'v>(record: &'v Value, names: &[&str]) -> wasmtime::Result<&'v Value> {
    let found = match &record.kind {
        Some(Kind::Record(record)) => record
            .fields
            .iter()
            .find(|field| names.contains(&field.name.as_str()))
            .and_then(|field| field.value.as_ref()),
        _ => None,
    };
    found.ok_or_else(|| wasmtime::format_err!("a record has no field {}", names.join(" or ")))
}

pub(in crate::host) fn u64_field(record: &Value, name: &str) -> wasmtime::Result<u64> {
    match field(record, &[name])?.kind {
        Some(Kind::U64Value(number)) => Ok(number),
        _ => wasmtime::bail!("the field {name} is no u64"),
    }
}

pub(in crate::host) fn text_field(record: &Value, names: &[&str]) -> wasmtime::Result<String> {
    match &field(record, names)?.kind {
        Some(Kind::StringValue(text)) => Ok(text.clone()),
        _ => wasmtime::bail!("the field {} is no string", names.join(" or ")),
    }
}

pub(in crate::host) fn uuid_of(value: &Value) -> wasmtime::Result<Uuid> {
    Ok(Uuid::from_u64_pair(
        u64_field(value, "high-bits")?,
        u64_field(value, "low-bits")?,
    ))
}

pub(in crate::host) fn component_id_of(value: &Value) -> wasmtime::Result<ComponentId> {
    Ok(ComponentId(uuid_of(field(value, &["uuid"])?)?))
}

/// # Errors
/// For a name that no worker can have.
pub(in crate::host) fn worker_id_of(value: &Value) -> wasmtime::Result<WorkerId> {
    let name = text_field(value, &["worker-name", "agent-id"])?;
    Ok(WorkerId {
        component: component_id_of(field(value, &["component-id"])?)?,
        name: name.parse().map_err(|error| wasmtime::format_err!("{error}"))?,
    })
}

pub(in crate::host) fn promise_id_of(value: &Value) -> wasmtime::Result<PromiseId> {
    let worker = worker_id_of(field(value, &["worker-id", "agent-id"])?)?;
    Ok(PromiseId {
        worker_id: Some((&worker).into()),
        oplog_index: u64_field(value, "oplog-idx")?,
    })
}
