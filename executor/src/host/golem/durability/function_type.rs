use kiln_proto::{
    ids::OplogIndex,
    v1::{FunctionType, Value, function_type::Kind as Wire, value::Kind},
};

use crate::replay::Kind as CallKind;

/// Reads `durable-function-type`.
pub(super) fn kind_of(value: &Value) -> wasmtime::Result<CallKind> {
    let Some(Kind::Variant(variant)) = &value.kind else {
        wasmtime::bail!("a function type is a variant");
    };
    let begin = variant.payload.as_deref().and_then(index_of);
    Ok(
        match variant.case.as_ref().map_or("", |case| case.name.as_str()) {
            "read-local" => CallKind::ReadLocal,
            "write-local" => CallKind::WriteLocal,
            "read-remote" => CallKind::ReadRemote,
            "write-remote" => CallKind::WriteRemote,
            "write-remote-batched" => CallKind::WriteRemoteBatched(begin),
            "write-remote-transaction" => CallKind::WriteRemoteTransaction(begin),
            other => wasmtime::bail!("the host knows no function type {other}"),
        },
    )
}

fn index_of(option: &Value) -> Option<OplogIndex> {
    let Some(Kind::Option(option)) = &option.kind else {
        return None;
    };
    match option.value.as_ref()?.kind {
        Some(Kind::U64Value(index)) => Some(OplogIndex(index)),
        _ => None,
    }
}

/// Writes `durable-function-type`.
pub(super) fn value_of(ty: FunctionType) -> Value {
    let begin = || Some(Value::from((ty.begin_index != 0).then_some(ty.begin_index)));
    match ty.kind() {
        Wire::ReadLocal => Value::variant("read-local", None),
        Wire::WriteLocal => Value::variant("write-local", None),
        Wire::ReadRemote => Value::variant("read-remote", None),
        Wire::WriteRemote => Value::variant("write-remote", None),
        Wire::WriteRemoteBatched => Value::variant("write-remote-batched", begin()),
        Wire::WriteRemoteTransaction => Value::variant("write-remote-transaction", begin()),
    }
}
