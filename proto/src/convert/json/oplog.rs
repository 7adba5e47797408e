//! Oplog entries with the kebab-case names of the guest's own `golem:api/oplog`.

use serde_json::{Value as Json, json};

use super::value;
use crate::{
    convert::rfc3339,
    ids::ComponentId,
    v1::{
        CreateEntry, ErrorEntry, ExportedFunctionInvokedEntry, FunctionType, ImportedFunctionInvokedEntry,
        IndexedOplogEntry, InvocationContext, KeyValue, Payload, PendingUpdateEntry,
        PendingWorkerInvocationEntry, ResourceEntry, RetryPolicy, Span, StartSpanEntry, WorkerId,
        function_type, log_entry, oplog_entry::Entry, payload, pending_worker_invocation_entry::Invocation,
        persistence_level_entry,
    },
};

/// An entry as `worker oplog` shows it: `{"index", "type", "timestamp", …}`.
#[must_use]
pub fn entry(indexed: &IndexedOplogEntry) -> Json {
    let timestamp_ns = indexed.entry.as_ref().map_or(0, |entry| entry.timestamp_ns);
    let (kind, fields) = indexed
        .entry
        .as_ref()
        .and_then(|entry| entry.entry.as_ref())
        .map_or_else(|| ("unknown", json!({})), fields);
    let mut object = json!({
        "index": indexed.index,
        "type": kind,
        "timestamp": rfc3339(timestamp_ns),
    });
    if let (Json::Object(object), Json::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    object
}

fn fields(entry: &Entry) -> (&'static str, Json) {
    match entry {
        Entry::Create(create) => ("create", self::create(create)),
        Entry::ImportedFunctionInvoked(call) => ("imported-function-invoked", imported(call)),
        Entry::ExportedFunctionInvoked(call) => ("exported-function-invoked", exported(call)),
        Entry::ExportedFunctionCompleted(completed) => (
            "exported-function-completed",
            json!({
                "response": value::optional(completed.response.as_ref()),
                "consumed-fuel": completed.consumed_fuel,
            }),
        ),
        Entry::Suspend(_) => ("suspend", json!({})),
        Entry::Error(error) => ("error", self::error(error)),
        Entry::NoOp(_) => ("no-op", json!({})),
        Entry::Jump(region) => ("jump", json!({"start": region.start, "end": region.end})),
        Entry::Interrupted(_) => ("interrupted", json!({})),
        Entry::Exited(_) => ("exited", json!({})),
        Entry::ChangeRetryPolicy(policy) => (
            "change-retry-policy",
            json!({"retry-policy": retry_policy(policy)}),
        ),
        Entry::BeginAtomicRegion(_) => ("begin-atomic-region", json!({})),
        Entry::EndAtomicRegion(end) => ("end-atomic-region", begin_index(end.begin_index)),
        Entry::BeginRemoteWrite(_) => ("begin-remote-write", json!({})),
        Entry::EndRemoteWrite(end) => ("end-remote-write", begin_index(end.begin_index)),
        Entry::PendingWorkerInvocation(pending) => ("pending-worker-invocation", pending_invocation(pending)),
        Entry::PendingUpdate(pending) => ("pending-update", pending_update(pending)),
        Entry::SuccessfulUpdate(update) => (
            "successful-update",
            json!({
                "target-version": update.target_version,
                "new-component-size": update.new_component_size,
                "new-active-plugins": [],
            }),
        ),
        Entry::FailedUpdate(update) => (
            "failed-update",
            json!({"target-version": update.target_version, "details": update.details}),
        ),
        Entry::GrowMemory(grow) => ("grow-memory", json!({"delta": grow.delta})),
        Entry::CreateResource(resource) => ("create-resource", self::resource(resource)),
        Entry::DropResource(resource) => ("drop-resource", self::resource(resource)),
        Entry::Log(log) => (
            "log",
            json!({"level": level(log.level()), "context": log.context, "message": log.message}),
        ),
        Entry::Restart(_) => ("restart", json!({})),
        Entry::Revert(region) => ("revert", json!({"start": region.start, "end": region.end})),
        Entry::CancelInvocation(key) => (
            "cancel-invocation",
            json!({"idempotency-key": key.idempotency_key}),
        ),
        Entry::StartSpan(span) => ("start-span", start_span(span)),
        Entry::FinishSpan(span) => ("finish-span", json!({"span-id": span.span_id})),
        Entry::SetSpanAttribute(span) => (
            "set-span-attribute",
            json!({"span-id": span.span_id, "key": span.key, "value": {"string": span.value}}),
        ),
        Entry::ChangePersistenceLevel(change) => (
            "change-persistence-level",
            json!({"persistence-level": persistence_level(change.level())}),
        ),
        Entry::BeginRemoteTransaction(begin) => (
            "begin-remote-transaction",
            json!({"transaction-id": begin.transaction_id}),
        ),
        Entry::PreCommitRemoteTransaction(begin) => {
            ("pre-commit-remote-transaction", begin_index(begin.begin_index))
        }
        Entry::PreRollbackRemoteTransaction(begin) => {
            ("pre-rollback-remote-transaction", begin_index(begin.begin_index))
        }
        Entry::CommittedRemoteTransaction(begin) => {
            ("committed-remote-transaction", begin_index(begin.begin_index))
        }
        Entry::RolledBackRemoteTransaction(begin) => {
            ("rolled-back-remote-transaction", begin_index(begin.begin_index))
        }
    }
}

fn create(create: &CreateEntry) -> Json {
    json!({
        "worker-id": create.worker_id.as_ref().map(worker_id),
        "component-version": create.component_version,
        "args": create.args,
        "env": super::pairs(&create.env),
        "config": super::pairs(&create.config),
        "parent": create.parent.as_ref().map(worker_id),
        "component-size": create.component_size,
        "initial-total-linear-memory-size": create.initial_memory_size,
        "initial-active-plugins": [],
    })
}

fn worker_id(id: &WorkerId) -> Json {
    let component =
        ComponentId::from_slice(&id.component_id).map_or_else(|_| String::new(), |id| id.to_string());
    json!({"component-id": component, "worker-name": id.name})
}

fn imported(call: &ImportedFunctionInvokedEntry) -> Json {
    json!({
        "function-name": call.function_name,
        "request": call.request.as_ref().map(payload),
        "response": call.response.as_ref().map(payload),
        "wrapped-function-type": call.function_type.as_ref().map(function_type),
    })
}

fn payload(payload: &Payload) -> Json {
    match &payload.payload {
        None => Json::Null,
        Some(payload::Payload::Value(value)) => value::value(value),
        Some(payload::Payload::Raw(bytes)) => bytes.iter().copied().collect(),
    }
}

fn function_type(kind: &FunctionType) -> Json {
    use function_type::Kind;
    let begin = (kind.begin_index != 0).then_some(kind.begin_index);
    match kind.kind() {
        Kind::ReadLocal => "read-local".into(),
        Kind::WriteLocal => "write-local".into(),
        Kind::ReadRemote => "read-remote".into(),
        Kind::WriteRemote => "write-remote".into(),
        Kind::WriteRemoteBatched => json!({"write-remote-batched": begin}),
        Kind::WriteRemoteTransaction => json!({"write-remote-transaction": begin}),
    }
}

fn exported(call: &ExportedFunctionInvokedEntry) -> Json {
    let none = InvocationContext::default();
    let context = call.context.as_ref().unwrap_or(&none);
    json!({
        "function-name": call.function_name,
        "request": call.request.iter().map(value::value).collect::<Vec<_>>(),
        "idempotency-key": call.idempotency_key,
        "trace-id": context.trace_id,
        "trace-states": context.trace_states,
        "invocation-context": context
            .stacks
            .iter()
            .map(|stack| stack.spans.iter().map(span).collect::<Vec<_>>())
            .collect::<Vec<_>>(),
    })
}

fn span(span: &Span) -> Json {
    if span.external {
        return json!({"external-span": {"span-id": span.span_id}});
    }
    json!({"local-span": {
        "span-id": span.span_id,
        "start": rfc3339(span.start_ns),
        "parent": span.parent,
        "linked-context": span.linked_stack,
        "attributes": attributes(&span.attributes),
        "inherited": span.inherited,
    }})
}

fn attributes(pairs: &[KeyValue]) -> Json {
    pairs
        .iter()
        .map(|pair| json!({"key": pair.key, "value": {"string": pair.value}}))
        .collect()
}

fn error(error: &ErrorEntry) -> Json {
    let mut fields = json!({"error": error.message, "retry-from": error.retry_from});
    if !error.stderr.is_empty() {
        fields["stderr"] = error.stderr.as_str().into();
    }
    fields
}

fn retry_policy(policy: &RetryPolicy) -> Json {
    json!({
        "max-attempts": policy.max_attempts,
        "min-delay": policy.min_delay_ns,
        "max-delay": policy.max_delay_ns,
        "multiplier": policy.multiplier,
        "max-jitter-factor": policy.max_jitter_factor,
    })
}

fn begin_index(index: u64) -> Json {
    json!({"begin-index": index})
}

fn pending_invocation(pending: &PendingWorkerInvocationEntry) -> Json {
    let invocation = match &pending.invocation {
        None => Json::Null,
        Some(Invocation::ExportedFunction(call)) => json!({"exported-function": {
            "idempotency-key": call.idempotency_key,
            "function-name": call.function_name,
            "input": call.request.iter().map(value::value).collect::<Vec<_>>(),
        }}),
        Some(Invocation::ManualUpdate(update)) => json!({"manual-update": update.target_version}),
    };
    json!({"invocation": invocation})
}

fn pending_update(pending: &PendingUpdateEntry) -> Json {
    let description = match &pending.snapshot {
        None => Json::from("auto-update"),
        Some(snapshot) => json!({"snapshot-based": snapshot.to_vec()}),
    };
    json!({"target-version": pending.target_version, "update-description": description})
}

fn resource(resource: &ResourceEntry) -> Json {
    json!({"resource-id": resource.resource_id, "name": resource.name, "owner": resource.owner})
}

fn start_span(span: &StartSpanEntry) -> Json {
    json!({
        "span-id": span.span_id,
        "parent": span.parent,
        "linked-context": span.linked_context,
        "attributes": attributes(&span.attributes),
    })
}

fn level(level: log_entry::Level) -> &'static str {
    use log_entry::Level;
    match level {
        Level::Stdout => "stdout",
        Level::Stderr => "stderr",
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
        Level::Critical => "critical",
    }
}

fn persistence_level(level: persistence_level_entry::Level) -> &'static str {
    use persistence_level_entry::Level;
    match level {
        Level::Smart => "smart",
        Level::PersistRemoteSideEffects => "persist-remote-side-effects",
        Level::PersistNothing => "persist-nothing",
    }
}
