//! Calls of the guest and by the guest.

use super::{Form, fields::field, span};
use crate::v1::{
    ExportedFunctionInvokedEntry, FieldValue, FunctionType, ImportedFunctionInvokedEntry, InvocationContext,
    Payload, PendingWorkerInvocationEntry, Value, function_type, payload,
    pending_worker_invocation_entry::Invocation,
};

pub(super) fn imported(call: &ImportedFunctionInvokedEntry, form: &dyn Form) -> Vec<FieldValue> {
    vec![
        field("function-name", &call.function_name),
        field("request", payload(call.request.as_ref(), form)),
        field("response", payload(call.response.as_ref(), form)),
        field(
            "wrapped-function-type",
            function_type(call.function_type.as_ref()),
        ),
    ]
}

fn payload(payload: Option<&Payload>, form: &dyn Form) -> Value {
    match payload.and_then(|payload| payload.payload.as_ref()) {
        None => form.embedded(None),
        Some(payload::Payload::Value(value)) => form.embedded(Some(value)),
        Some(payload::Payload::Raw(bytes)) => form.embedded(Some(&bytes.clone().into())),
    }
}

fn function_type(kind: Option<&FunctionType>) -> Value {
    use function_type::Kind;
    let kind = kind.copied().unwrap_or_default();
    let begin = || Some(Value::from((kind.begin_index != 0).then_some(kind.begin_index)));
    match kind.kind() {
        Kind::ReadLocal => Value::variant("read-local", None),
        Kind::WriteLocal => Value::variant("write-local", None),
        Kind::ReadRemote => Value::variant("read-remote", None),
        Kind::WriteRemote => Value::variant("write-remote", None),
        Kind::WriteRemoteBatched => Value::variant("write-remote-batched", begin()),
        Kind::WriteRemoteTransaction => Value::variant("write-remote-transaction", begin()),
    }
}

pub(super) fn exported(call: &ExportedFunctionInvokedEntry, form: &dyn Form) -> Vec<FieldValue> {
    let none = InvocationContext::default();
    let context = call.context.as_ref().unwrap_or(&none);
    let stacks = context.stacks.iter().map(|stack| {
        stack
            .spans
            .iter()
            .map(|each| span::span(each, form))
            .collect::<Value>()
    });
    vec![
        field("function-name", &call.function_name),
        field("request", arguments(&call.request, form)),
        field("idempotency-key", &call.idempotency_key),
        field("trace-id", &context.trace_id),
        field("trace-states", context.trace_states.iter().collect::<Value>()),
        field("invocation-context", stacks.collect::<Value>()),
    ]
}

fn arguments(arguments: &[Value], form: &dyn Form) -> Value {
    arguments
        .iter()
        .map(|argument| form.embedded(Some(argument)))
        .collect()
}

pub(super) fn pending_invocation(pending: &PendingWorkerInvocationEntry, form: &dyn Form) -> Value {
    match &pending.invocation {
        None => Value::variant("manual-update", Some(0u64.into())),
        Some(Invocation::ManualUpdate(update)) => {
            Value::variant("manual-update", Some(update.target_version.into()))
        }
        Some(Invocation::ExportedFunction(call)) => Value::variant(
            "exported-function",
            Some(Value::record(vec![
                field("idempotency-key", &call.idempotency_key),
                field("function-name", &call.function_name),
                field("input", Some(arguments(&call.request, form))),
            ])),
        ),
    }
}
