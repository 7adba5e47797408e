use super::{
    Form,
    call::{exported, imported, pending_invocation},
    span::{attribute_value, start_span},
    worker_id,
};
use crate::v1::{
    CreateEntry, ErrorEntry, FieldValue, PendingUpdateEntry, ResourceEntry, RetryPolicy, Value, log_entry,
    oplog_entry::Entry, persistence_level_entry,
};

/// The fields of an entry behind its timestamp, in the order of the guest contract. Without any, the entry is nothing
/// but its timestamp.
#[must_use]
pub fn fields(entry: &Entry, form: &dyn Form) -> Vec<FieldValue> {
    match entry {
        Entry::Create(create) => self::create(create, form),
        Entry::ImportedFunctionInvoked(call) => imported(call, form),
        Entry::ExportedFunctionInvoked(call) => exported(call, form),
        Entry::ExportedFunctionCompleted(completed) => vec![
            field(
                "response",
                completed
                    .response
                    .as_ref()
                    .map(|value| form.embedded(Some(value))),
            ),
            field("consumed-fuel", completed.consumed_fuel),
        ],
        Entry::Error(error) => self::error(error),
        Entry::Jump(region) => vec![field("start", region.start), field("end", region.end)],
        Entry::Revert(region) => vec![field("start", region.start), field("end", region.end)],
        Entry::ChangeRetryPolicy(policy) => vec![field("retry-policy", retry_policy(policy))],
        Entry::EndAtomicRegion(begin)
        | Entry::EndRemoteWrite(begin)
        | Entry::PreCommitRemoteTransaction(begin)
        | Entry::PreRollbackRemoteTransaction(begin)
        | Entry::CommittedRemoteTransaction(begin)
        | Entry::RolledBackRemoteTransaction(begin) => vec![field("begin-index", begin.begin_index)],
        Entry::PendingWorkerInvocation(pending) => {
            vec![field("invocation", pending_invocation(pending, form))]
        }
        Entry::PendingUpdate(pending) => pending_update(pending),
        Entry::SuccessfulUpdate(update) => vec![
            field("target-version", update.target_version),
            field("new-component-size", update.new_component_size),
            field("new-active-plugins", no_plugins()),
        ],
        Entry::FailedUpdate(update) => vec![
            field("target-version", update.target_version),
            field("details", update.details.as_ref()),
        ],
        Entry::GrowMemory(grow) => vec![field("delta", grow.delta)],
        Entry::CreateResource(resource) | Entry::DropResource(resource) => self::resource(resource),
        Entry::Log(log) => vec![
            field("level", Value::enum_case(level(log.level()))),
            field("context", &log.context),
            field("message", &log.message),
        ],
        Entry::CancelInvocation(key) => vec![field("idempotency-key", &key.idempotency_key)],
        Entry::StartSpan(span) => start_span(span),
        Entry::FinishSpan(span) => vec![field("span-id", &span.span_id)],
        Entry::SetSpanAttribute(span) => vec![
            field("span-id", &span.span_id),
            field("key", &span.key),
            field("value", attribute_value(&span.value)),
        ],
        Entry::ChangePersistenceLevel(change) => {
            vec![field("persistence-level", persistence_level(change.level()))]
        }
        Entry::BeginRemoteTransaction(begin) => vec![field("transaction-id", &begin.transaction_id)],
        Entry::Suspend(_)
        | Entry::NoOp(_)
        | Entry::Interrupted(_)
        | Entry::Exited(_)
        | Entry::BeginAtomicRegion(_)
        | Entry::BeginRemoteWrite(_)
        | Entry::Restart(_) => Vec::new(),
    }
}

pub(super) fn field(name: &str, value: impl Into<Value>) -> FieldValue {
    FieldValue::of(name, value)
}

fn create(create: &CreateEntry, form: &dyn Form) -> Vec<FieldValue> {
    let id = create.worker_id.clone().unwrap_or_default();
    let mut fields = vec![
        field("worker-id", worker_id(&id, form)),
        field("component-version", create.component_version),
        field("args", create.args.iter().collect::<Value>()),
        field("env", form.pairs(&create.env)),
        field("config", form.pairs(&create.config)),
    ];
    fields.extend(form.owner());
    fields.extend([
        field(
            "parent",
            create.parent.as_ref().map(|parent| worker_id(parent, form)),
        ),
        field("component-size", create.component_size),
        field("initial-total-linear-memory-size", create.initial_memory_size),
        field("initial-active-plugins", no_plugins()),
    ]);
    fields
}

/// Where a retry starts and what the guest wrote to stderr are Kiln's own additions.
fn error(error: &ErrorEntry) -> Vec<FieldValue> {
    let mut fields = vec![
        field("error", &error.message),
        field("retry-from", error.retry_from),
    ];
    if !error.stderr.is_empty() {
        fields.push(field("stderr", &error.stderr));
    }
    fields
}

fn pending_update(pending: &PendingUpdateEntry) -> Vec<FieldValue> {
    let description = match &pending.snapshot {
        None => Value::variant("auto-update", None),
        Some(snapshot) => Value::variant("snapshot-based", Some(snapshot.clone().into())),
    };
    vec![
        field("target-version", pending.target_version),
        field("update-description", description),
    ]
}

fn resource(resource: &ResourceEntry) -> Vec<FieldValue> {
    vec![
        field("resource-id", resource.resource_id),
        field("name", &resource.name),
        field("owner", &resource.owner),
    ]
}

fn retry_policy(policy: &RetryPolicy) -> Value {
    Value::record(vec![
        field("max-attempts", policy.max_attempts),
        field("min-delay", policy.min_delay_ns),
        field("max-delay", policy.max_delay_ns),
        field("multiplier", policy.multiplier),
        field("max-jitter-factor", policy.max_jitter_factor),
    ])
}

/// Plugins are not part of a worker's oplog.
fn no_plugins() -> Value {
    std::iter::empty::<Value>().collect()
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

fn persistence_level(level: persistence_level_entry::Level) -> Value {
    use persistence_level_entry::Level;
    let name = match level {
        Level::Smart => "smart",
        Level::PersistRemoteSideEffects => "persist-remote-side-effects",
        Level::PersistNothing => "persist-nothing",
    };
    Value::variant(name, None)
}
