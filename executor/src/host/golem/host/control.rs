//! What a worker does to others and to itself: updates, copies, going back.

use kiln_proto::{
    ids::{ComponentVersion, OplogIndex, WorkerId},
    v1::{OplogEntry, UpdateMode, Value, revert_worker_request::Target, value::Kind},
};

use crate::{
    host::{
        HostState,
        durable::Begun,
        dynamic::{Arguments, Interface},
        golem::shapes::{case, list, worker_id, worker_id_of},
        payload::{NOTHING, string, u64_value},
    },
    replay::{Kind as CallKind, step::StepError},
};

const UPDATE: &str = "golem::api::update-worker";
const FORK_WORKER: &str = "golem::api::fork-worker";
const REVERT: &str = "golem::api::revert-worker";
const FORK: &str = "golem::api::fork";

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["update-worker", "update-agent"], |state, arguments| {
            Box::pin(update(state, arguments))
        })
        .function(&["fork-worker", "fork-agent"], |state, arguments| {
            Box::pin(fork_worker(state, arguments))
        })
        .function(&["revert-worker", "revert-agent"], |state, arguments| {
            Box::pin(revert(state, arguments))
        })
        .function(&["fork"], |state, arguments| Box::pin(fork(state, arguments)))
}

async fn update(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let worker = worker_id_of(&arguments.value()?)?;
    let version = arguments.u64()?;
    let mode = match arguments.case()?.as_str() {
        "snapshot-based" => UpdateMode::SnapshotBased,
        _ => UpdateMode::Automatic,
    };
    let asked = list(vec![worker_id(&worker), u64_value(version)]);
    let Begun::New(call) = state.begin(UPDATE, CallKind::WriteRemote, asked).await? else {
        return Ok(None);
    };
    let cluster = state.context.cluster.clone();
    let done = cluster
        .update_worker(&worker, ComponentVersion(version), mode, call.idempotency_key())
        .await;
    done.map_err(StepError::from)?;
    state.end(call, nothing()).await?;
    Ok(None)
}

async fn fork_worker(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let source = worker_id_of(&arguments.value()?)?;
    let target = worker_id_of(&arguments.value()?)?;
    let cutoff = OplogIndex(arguments.u64()?);
    let asked = list(vec![worker_id(&source), worker_id(&target), u64_value(cutoff.0)]);
    let Begun::New(call) = state.begin(FORK_WORKER, CallKind::WriteRemote, asked).await? else {
        return Ok(None);
    };
    let cluster = state.context.cluster.clone();
    let done = cluster
        .fork_worker(&source, &target, cutoff, Vec::new(), call.idempotency_key())
        .await;
    done.map_err(StepError::from)?;
    state.end(call, nothing()).await?;
    Ok(None)
}

async fn revert(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let worker = worker_id_of(&arguments.value()?)?;
    let target = arguments.value()?;
    let (name, number) = match &target.kind {
        Some(Kind::Variant(variant)) => (
            variant.case.as_ref().map_or("", |case| case.name.as_str()),
            variant.payload.as_ref().map(|payload| &payload.kind),
        ),
        _ => wasmtime::bail!("the target of a revert is no variant"),
    };
    let Some(Some(Kind::U64Value(number))) = number else {
        wasmtime::bail!("the target of a revert has no number");
    };
    let to = match name {
        "revert-to-oplog-index" => Target::ToIndex(*number),
        _ => Target::LastInvocations(*number),
    };
    let asked = list(vec![worker_id(&worker), target.clone()]);
    let Begun::New(call) = state.begin(REVERT, CallKind::WriteRemote, asked).await? else {
        return Ok(None);
    };
    let cluster = state.context.cluster.clone();
    let done = cluster.revert_worker(&worker, to, call.idempotency_key()).await;
    done.map_err(StepError::from)?;
    state.end(call, nothing()).await?;
    Ok(None)
}

/// Copies this worker as it stands here. The copy's oplog ends with this very call, answered with `forked`.
async fn fork(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let name = arguments.string()?;
    let target = WorkerId {
        component: state.context.id.component,
        name: name.parse().map_err(|error| wasmtime::format_err!("{error}"))?,
    };
    let call = match state.begin(FORK, CallKind::WriteRemote, string(&name)).await? {
        Begun::Recorded(value) => return Ok(Some(value)),
        Begun::New(call) => call,
    };
    let cutoff = OplogIndex(state.journal.next_index().0 - 1);
    let timestamp_ns = state.journal.now_ns();
    let last = call.entries(case("forked")).into_iter().map(|entry| OplogEntry {
        timestamp_ns,
        entry: Some(entry),
    });
    let (cluster, source) = (state.context.cluster.clone(), state.context.id.clone());
    let done = cluster
        .fork_worker(&source, &target, cutoff, last.collect(), call.idempotency_key())
        .await;
    done.map_err(StepError::from)?;
    Ok(Some(state.end(call, case("original")).await?))
}

/// The response of a call without a result.
fn nothing() -> Value {
    crate::host::payload::value_of(NOTHING)
}
