//! Promises: values that come from outside, maybe much later. A guest that waits for one leaves memory meanwhile.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kiln_proto::v1::{PromiseId, Value};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{Pollable, subscribe};

use crate::{
    host::{
        Cluster, HostState, Wait,
        durable::Begun,
        dynamic::{Arguments, Interface, ResourceKind, handle},
        golem::shapes::{bool_value, bytes, option, promise_id, promise_id_of},
        leave::Leave,
        payload::{NOTHING, request},
        waits::Awaited,
    },
    replay::{
        Kind as CallKind,
        step::{self, StepError},
    },
};

const CREATE: &str = "golem::api::create_promise";
const AWAIT: &str = "golem::api::await_promise";
const POLL: &str = "golem::api::poll_promise";
const COMPLETE: &str = "golem::api::complete_promise";
const DELETE: &str = "golem::api::delete_promise";
const GET_RESULT: &str = "golem::api::get-promise-result::get";

const RESULT: ResourceKind = ResourceKind::of::<PromiseResult>(1);

/// How often a promise is looked at that a guest waits for together with other things.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["create-promise"], |state, _| {
            Box::pin(async { create_promise(state) })
        })
        .function(&["await-promise"], |state, arguments| {
            Box::pin(await_promise(state, arguments))
        })
        .function(&["poll-promise"], |state, arguments| {
            Box::pin(poll_promise(state, arguments))
        })
        .function(&["complete-promise"], |state, arguments| {
            Box::pin(complete_promise(state, arguments))
        })
        .function(&["delete-promise"], |state, arguments| {
            Box::pin(delete_promise(state, arguments))
        })
        .function(&["get-promise"], |state, arguments| {
            Box::pin(get_promise(state, arguments))
        })
        .resource(&["get-promise-result"], RESULT)
        .function(&["[method]get-promise-result.subscribe"], |state, arguments| {
            Box::pin(async { subscribe_result(state, arguments) })
        })
        .function(&["[method]get-promise-result.get"], |state, arguments| {
            Box::pin(get_result(state, arguments))
        })
}

/// The promise comes into being with the entry that records this call.
fn create_promise(state: &mut HostState) -> wasmtime::Result<Option<Value>> {
    if let Some(recorded) = state.recorded(CREATE, &NOTHING)? {
        return Ok(Some(recorded));
    }
    if !state.is_recorded() {
        wasmtime::bail!("a promise cannot be made where nothing is persisted");
    }
    let worker = state.context.id.clone();
    let index = step::persist_with(&state.journal, CREATE, CallKind::WriteLocal, NOTHING, |index| {
        request(promise_id(&worker, index))
    });
    Ok(Some(promise_id(&worker, index)))
}

async fn await_promise(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let asked = arguments.value()?;
    let promise = promise_id_of(&asked)?;
    let call = match state.begin(AWAIT, CallKind::ReadRemote, asked).await? {
        Begun::Recorded(value) => return Ok(Some(value)),
        Begun::New(call) => call,
    };
    let this = state.context.id.clone();
    match look(state, &promise, Some(&this)).await? {
        Some(data) => Ok(Some(state.end(call, bytes(data)).await?)),
        None => {
            let wait = Wait {
                until_ns: None,
                promises: vec![promise],
            };
            Err(Leave::Suspend(wait).into())
        }
    }
}

async fn poll_promise(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let asked = arguments.value()?;
    let promise = promise_id_of(&asked)?;
    let call = match state.begin(POLL, CallKind::ReadRemote, asked).await? {
        Begun::Recorded(value) => return Ok(Some(value)),
        Begun::New(call) => call,
    };
    let found = look(state, &promise, None).await?;
    Ok(Some(state.end(call, option(found.map(bytes))).await?))
}

async fn complete_promise(
    state: &mut HostState,
    mut arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let asked = arguments.value()?;
    let promise = promise_id_of(&asked)?;
    let data = arguments.bytes()?;
    let call = match state.begin(COMPLETE, CallKind::WriteLocal, asked).await? {
        Begun::Recorded(value) => return Ok(Some(value)),
        Begun::New(call) => call,
    };
    // It may be a promise of this very worker, made just now; and what the guest tells others must not be lost.
    commit(state).await?;
    let cluster = state.context.cluster.clone();
    let completed = cluster
        .complete_promise(&promise, data, call.idempotency_key())
        .await
        .map_err(StepError::from)?;
    Ok(Some(state.end(call, bool_value(completed)).await?))
}

async fn delete_promise(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let asked = arguments.value()?;
    let promise = promise_id_of(&asked)?;
    let call = match state.begin(DELETE, CallKind::WriteLocal, asked).await? {
        Begun::Recorded(_) => return Ok(None),
        Begun::New(call) => call,
    };
    commit(state).await?;
    let cluster = state.context.cluster.clone();
    cluster.delete_promise(&promise).await.map_err(StepError::from)?;
    state.end(call, option(None)).await?;
    Ok(None)
}

/// A promise that a guest looks at through a pollable.
pub(in crate::host) struct PromiseResult {
    promise: PromiseId,
}

async fn get_promise(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let promise = promise_id_of(&arguments.value()?)?;
    if promise.worker_id != Some((&state.context.id).into()) {
        wasmtime::bail!("Tried awaiting a promise not created by the current agent");
    }
    let resource = state.table.push(PromiseResult { promise })?;
    Ok(Some(handle(resource.rep())))
}

fn promise_at(state: &HostState, rep: u32) -> wasmtime::Result<PromiseId> {
    let result = state.table.get(&Resource::<PromiseResult>::new_borrow(rep))?;
    Ok(result.promise.clone())
}

fn subscribe_result(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let promise = promise_at(state, arguments.resource()?)?;
    let watched = state.table.push(Watched {
        promise: promise.clone(),
        cluster: state.context.cluster.clone(),
    })?;
    let pollable = subscribe(&mut state.table, watched)?;
    state.waits.note(&pollable, Awaited::Promise(promise));
    Ok(Some(handle(pollable.rep())))
}

async fn get_result(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let promise = promise_at(state, arguments.resource()?)?;
    let asked = promise_value(&promise)?;
    let call = match state.begin(GET_RESULT, CallKind::ReadRemote, asked).await? {
        Begun::Recorded(value) => return Ok(Some(value)),
        Begun::New(call) => call,
    };
    let found = look(state, &promise, None).await?;
    Ok(Some(state.end(call, option(found.map(bytes))).await?))
}

fn promise_value(promise: &PromiseId) -> wasmtime::Result<Value> {
    let worker = promise
        .worker_id
        .as_ref()
        .map(kiln_proto::ids::WorkerId::try_from);
    let worker = worker.ok_or_else(|| wasmtime::format_err!("the promise names no worker"))??;
    Ok(promise_id(&worker, promise.oplog_index.into()))
}

/// A promise that a guest waits for together with other things.
struct Watched {
    promise: PromiseId,
    cluster: Arc<dyn Cluster>,
}

#[async_trait::async_trait]
impl Pollable for Watched {
    /// An error counts as ready: the guest sees it when it asks for the value.
    async fn ready(&mut self) {
        while let Ok(None) = self.cluster.promise(&self.promise, None).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn look(
    state: &mut HostState,
    promise: &PromiseId,
    waiter: Option<&kiln_proto::ids::WorkerId>,
) -> wasmtime::Result<Option<Bytes>> {
    // A promise of this very worker is there once the entry is that made it.
    commit(state).await?;
    let cluster = state.context.cluster.clone();
    Ok(cluster.promise(promise, waiter).await.map_err(StepError::from)?)
}

async fn commit(state: &mut HostState) -> wasmtime::Result<()> {
    state.journal.commit().await.map_err(StepError::from)?;
    Ok(())
}
