//! Who a worker is, who others are, and keys that belong to this moment of its life.

use kiln_proto::{
    convert::json::status_name,
    ids::{ComponentVersion, WorkerId},
    v1::{Value, WorkerRecord, WorkerStatus, value::Kind},
};

use crate::{
    host::{
        HostState,
        durable::Begun,
        dynamic::{Arguments, Interface},
        env::guest_environment,
        golem::shapes::{case, component_id, list, option, pairs, record, uuid, worker_id, worker_id_of},
        idempotency::derived_key,
        payload::{NOTHING, string, u64_value},
    },
    replay::{Kind as CallKind, step::StepError},
};

const KEY: &str = "golem api::generate_idempotency_key";
const SELF: &str = "golem::api::get_self_metadata";
const OTHER: &str = "golem::api::get_worker_metadata";
const RESOLVE_COMPONENT: &str = "golem::api::resolve_component_id";
const RESOLVE_WORKER: &str = "golem::api::resolve_worker_id";
const RESOLVE_WORKER_STRICT: &str = "golem::api::resolve_worker_id_strict";

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["generate-idempotency-key"], |state, _| {
            Box::pin(async { generate_idempotency_key(state) })
        })
        .function(&["get-self-metadata"], |state, _| {
            Box::pin(async { get_self_metadata(state) })
        })
        .function(&["get-self-uri"], |state, arguments| {
            Box::pin(async { get_self_uri(state, arguments) })
        })
        .function(
            &["get-worker-metadata", "get-agent-metadata"],
            |state, arguments| Box::pin(get_worker_metadata(state, arguments)),
        )
        .function(&["resolve-component-id"], |state, arguments| {
            Box::pin(resolve_component_id(state, arguments))
        })
        .function(&["resolve-worker-id", "resolve-agent-id"], |state, arguments| {
            Box::pin(resolve_worker_id(state, arguments, false))
        })
        .function(
            &["resolve-worker-id-strict", "resolve-agent-id-strict"],
            |state, arguments| Box::pin(resolve_worker_id(state, arguments, true)),
        )
}

/// Derived from the invocation's key and the place in the oplog: the same in every life of the worker. Touches nothing
/// outside, so that it costs no commit.
fn generate_idempotency_key(state: &mut HostState) -> wasmtime::Result<Option<Value>> {
    if let Some(recorded) = state.recorded(KEY, &NOTHING)? {
        return Ok(Some(recorded));
    }
    let key = derived_key(&state.invocation.key, state.journal.current_index());
    state.record(KEY, CallKind::WriteRemote, NOTHING, uuid(key));
    Ok(Some(uuid(key)))
}

/// What is recorded is what the guest saw, but for the identity: a copy of the worker must see its own.
fn get_self_metadata(state: &mut HostState) -> wasmtime::Result<Option<Value>> {
    if let Some(mut recorded) = state.recorded(SELF, &NOTHING)? {
        let id = worker_id(&state.context.id);
        if let Some(Kind::Record(metadata)) = &mut recorded.kind
            && let Some(field) = metadata.fields.iter_mut().find(|field| field.name == "worker-id")
        {
            field.value = Some(id);
        }
        return Ok(Some(recorded));
    }
    let context = state.context.clone();
    let metadata = metadata(&Metadata {
        id: &context.id,
        args: &context.args,
        env: &context.env,
        config: &context.config,
        status: WorkerStatus::Running,
        version: context.component_version,
        retry_count: context.failures.count,
    });
    state.record(SELF, CallKind::ReadLocal, NOTHING, metadata.clone());
    Ok(Some(metadata))
}

fn get_self_uri(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let function = arguments.string()?;
    let uri = format!("{}/{function}", state.context.id.urn());
    Ok(Some(record([("value", string(&uri))])))
}

async fn get_worker_metadata(
    state: &mut HostState,
    mut arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let asked = arguments.value()?;
    let worker = worker_id_of(&asked)?;
    let call = match state
        .begin(OTHER, CallKind::ReadRemote, worker_id(&worker))
        .await?
    {
        Begun::Recorded(value) => return Ok(Some(value)),
        Begun::New(call) => call,
    };
    // The worker may ask about itself, before anything of it is stored.
    state.journal.commit().await.map_err(StepError::from)?;
    let cluster = state.context.cluster.clone();
    let found = cluster.worker(&worker).await.map_err(StepError::from)?;
    let metadata = found.map(|record| metadata_of(&worker, &record));
    Ok(Some(state.end(call, option(metadata)).await?))
}

async fn resolve_component_id(
    state: &mut HostState,
    mut arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let reference = arguments.string()?;
    let call = state
        .begin(RESOLVE_COMPONENT, CallKind::ReadRemote, string(&reference))
        .await?;
    let call = match call {
        Begun::Recorded(value) => return Ok(Some(value)),
        Begun::New(call) => call,
    };
    let cluster = state.context.cluster.clone();
    let found = cluster.component(&reference).await.map_err(StepError::from)?;
    Ok(Some(state.end(call, option(found.map(component_id))).await?))
}

async fn resolve_worker_id(
    state: &mut HostState,
    mut arguments: Arguments,
    is_strict: bool,
) -> wasmtime::Result<Option<Value>> {
    let (reference, name) = (arguments.string()?, arguments.string()?);
    let function = if is_strict {
        RESOLVE_WORKER_STRICT
    } else {
        RESOLVE_WORKER
    };
    let asked = list(vec![string(&reference), string(&name)]);
    let call = match state.begin(function, CallKind::ReadRemote, asked).await? {
        Begun::Recorded(value) => return Ok(Some(value)),
        Begun::New(call) => call,
    };
    state.journal.commit().await.map_err(StepError::from)?;
    let cluster = state.context.cluster.clone();
    let found = find_worker(&*cluster, &reference, &name, is_strict).await;
    let found = found.map_err(StepError::from)?;
    let response = option(found.as_ref().map(worker_id));
    Ok(Some(state.end(call, response).await?))
}

async fn find_worker(
    cluster: &dyn crate::host::Cluster,
    reference: &str,
    name: &str,
    is_strict: bool,
) -> Result<Option<WorkerId>, kiln_proto::Error> {
    let (Some(component), Ok(name)) = (cluster.component(reference).await?, name.parse()) else {
        return Ok(None);
    };
    let worker = WorkerId { component, name };
    if is_strict && cluster.worker(&worker).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(worker))
}

/// A worker as guests see it.
struct Metadata<'a> {
    id: &'a WorkerId,
    args: &'a [String],
    env: &'a [(String, String)],
    config: &'a [(String, String)],
    status: WorkerStatus,
    version: ComponentVersion,
    retry_count: u32,
}

/// What a worker's record says, as guests see it.
pub(in crate::host) fn metadata_of(id: &WorkerId, record: &WorkerRecord) -> Value {
    let pairs = |list: &[kiln_proto::v1::KeyValue]| -> Vec<(String, String)> {
        list.iter()
            .map(|pair| (pair.key.clone(), pair.value.clone()))
            .collect()
    };
    let version = ComponentVersion(record.component_version);
    metadata(&Metadata {
        id,
        args: &record.args,
        env: &guest_environment(&[], &pairs(&record.env), id, version),
        config: &pairs(&record.config),
        status: record.status(),
        version,
        retry_count: record.retry_count,
    })
}

fn metadata(metadata: &Metadata<'_>) -> Value {
    record([
        ("worker-id", worker_id(metadata.id)),
        (
            "args",
            list(metadata.args.iter().map(|argument| string(argument)).collect()),
        ),
        ("env", pairs(metadata.env)),
        ("wasi-config-vars", pairs(metadata.config)),
        ("status", case(status_name(metadata.status))),
        ("component-version", u64_value(metadata.version.0)),
        ("retry-count", u64_value(metadata.retry_count.into())),
    ])
}
