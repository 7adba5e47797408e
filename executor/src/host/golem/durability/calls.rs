use bytes::Bytes;
use kiln_proto::v1::{
    FieldValue, ImportedFunctionInvokedEntry, OplogEntry, Payload, Value, oplog_entry::Entry, payload,
    value::Kind,
};
use prost::Message as _;

use super::function_type::{kind_of, value_of};
use crate::{
    host::{
        HostState,
        dynamic::{Arguments, Interface},
        golem::{oplog::datetime, shapes::field},
        value::wit::{Shape, type_from_wit, type_of, type_to_wit, value_and_type, value_from_wit},
    },
    replay::{
        Kind as CallKind,
        step::{self, StepError},
        writes,
    },
};

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["begin-durable-function"], |state, arguments| {
            Box::pin(begin(state, arguments))
        })
        .function(&["end-durable-function"], |state, arguments| {
            Box::pin(end(state, arguments))
        })
        .function(&["persist-durable-function-invocation"], |state, arguments| {
            Box::pin(persist(state, arguments, bytes_payload))
        })
        .function(
            &["persist-typed-durable-function-invocation"],
            |state, arguments| Box::pin(persist(state, arguments, typed_payload)),
        )
        .function(&["read-persisted-durable-function-invocation"], |state, _| {
            Box::pin(async { read(state, as_bytes) })
        })
        .function(
            &["read-persisted-typed-durable-function-invocation"],
            |state, _| Box::pin(async { read(state, as_value_and_type) }),
        )
}

/// A write that must not be repeated, or of several steps, gets a marker; the oplog's end stands for the others.
async fn begin(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let kind = kind_of(&arguments.value()?)?;
    let index = match kind {
        CallKind::WriteRemoteBatched(None) | CallKind::WriteRemoteTransaction(None) => {
            state.begin_batch().await?
        }
        CallKind::WriteRemote if !state.control.is_idempotent && state.is_recorded() => {
            state.record_logs();
            let begin = writes::begin_marked(&state.journal).await?;
            state.control.enter_batch(begin);
            begin
        }
        kind => {
            if kind.is_remote_write() && state.journal.is_live() {
                state.record_logs();
                state.journal.commit().await.map_err(StepError::from)?;
            }
            state.journal.current_index()
        }
    };
    Ok(Some(index.0.into()))
}

/// The older version of the contract has no forced commit.
async fn end(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let kind = kind_of(&arguments.value()?)?;
    let begin = arguments.u64()?;
    let is_forced = arguments.bool().unwrap_or(false);
    state.end_batch(begin.into()).await?;
    if (kind.is_remote_write() || is_forced) && state.journal.is_live() && state.is_recorded() {
        state.record_logs();
        state.journal.commit().await.map_err(StepError::from)?;
    }
    Ok(None)
}

type ToPayload = fn(&Value) -> wasmtime::Result<Payload>;

async fn persist(
    state: &mut HostState,
    mut arguments: Arguments,
    to_payload: ToPayload,
) -> wasmtime::Result<Option<Value>> {
    let function = arguments.string()?;
    let request = to_payload(&arguments.value()?)?;
    let response = to_payload(&arguments.value()?)?;
    let kind = kind_of(&arguments.value()?)?;
    state.record_logs();
    if !state.is_recorded() {
        return Ok(None);
    }
    // A guest that does not ask whether it is live persists again what is recorded.
    if step::recorded(&state.journal, &function, &request)?.is_some() {
        return Ok(None);
    }
    step::persist(&state.journal, function, kind, request, response);
    if kind.is_remote_write() {
        state.journal.commit().await.map_err(StepError::from)?;
    }
    Ok(None)
}

fn bytes_payload(value: &Value) -> wasmtime::Result<Payload> {
    match &value.kind {
        Some(Kind::ByteList(bytes)) => Ok(Payload {
            payload: Some(payload::Payload::Raw(bytes.clone())),
            wit_type: None,
        }),
        _ => wasmtime::bail!("a request or response is a list of bytes"),
    }
}

/// The value as everybody sees it in the oplog, and its type beside it, so that the guest gets back what it gave.
fn typed_payload(value_and_type: &Value) -> wasmtime::Result<Payload> {
    let wit_type = field(value_and_type, &["typ"])?;
    let ty = type_from_wit(wit_type)?;
    let value = value_from_wit(field(value_and_type, &["value"])?, &ty)?;
    Ok(Payload {
        payload: Some(payload::Payload::Value(value)),
        wit_type: Some(wit_type.clone()),
    })
}

type FromPayload = fn(Payload) -> wasmtime::Result<Value>;

fn read(state: &mut HostState, from_payload: FromPayload) -> wasmtime::Result<Option<Value>> {
    state.record_logs();
    let recorded = if state.is_recorded() {
        step::take_call(&state.journal)?
    } else {
        None
    };
    let Some(entry) = recorded else {
        wasmtime::bail!("nothing is persisted to be read back: the worker is live");
    };
    let OplogEntry {
        timestamp_ns,
        entry: Some(Entry::ImportedFunctionInvoked(call)),
    } = &*entry
    else {
        wasmtime::bail!("a persisted call is no call");
    };
    invocation(*timestamp_ns, call, from_payload).map(Some)
}

fn invocation(
    timestamp_ns: u64,
    call: &ImportedFunctionInvokedEntry,
    from_payload: FromPayload,
) -> wasmtime::Result<Value> {
    let response = call.response.clone().unwrap_or_default();
    Ok(Value::record(vec![
        FieldValue::of("timestamp", datetime(timestamp_ns)),
        FieldValue::of("function-name", &call.function_name),
        FieldValue::of("response", from_payload(response)?),
        FieldValue::of("function-type", value_of(call.function_type.unwrap_or_default())),
        FieldValue::of("entry-version", Value::enum_case("v2")),
    ]))
}

/// A typed value that is read as bytes comes in the oplog's own encoding.
fn as_bytes(payload: Payload) -> wasmtime::Result<Value> {
    Ok(match payload.payload {
        None => Bytes::new().into(),
        Some(payload::Payload::Raw(bytes)) => bytes.into(),
        Some(payload::Payload::Value(value)) => match value.kind {
            Some(Kind::ByteList(bytes)) => bytes.into(),
            _ => Bytes::from(value.encode_to_vec()).into(),
        },
    })
}

fn as_value_and_type(payload: Payload) -> wasmtime::Result<Value> {
    let value = match payload.payload {
        None => Value::tuple(Vec::new()),
        Some(payload::Payload::Raw(bytes)) => bytes.into(),
        Some(payload::Payload::Value(value)) => value,
    };
    let ty = match payload.wit_type {
        Some(ty) => ty,
        None => type_to_wit(&type_of(&value), Shape::Named)?,
    };
    Ok(value_and_type(&value, ty)?)
}
