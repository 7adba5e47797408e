//! Calls of another worker that are made at once: waited for, or only queued.

use kiln_proto::v1::Value;

use super::{
    answer,
    call::{Asked, next_key},
};
use crate::{
    host::{
        HostState,
        durable::Begun,
        dynamic::{Arguments, Interface},
    },
    replay::Kind as CallKind,
};

pub(super) const RESULT: &str = "golem::rpc::wasm-rpc::invoke-and-await result";
pub(super) const INVOKE: &str = "golem::rpc::wasm-rpc::invoke";

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["[method]wasm-rpc.invoke-and-await"], |state, arguments| {
            Box::pin(invoke_and_await(state, arguments))
        })
        .function(&["[method]wasm-rpc.invoke"], |state, arguments| {
            Box::pin(invoke(state, arguments))
        })
}

/// The callee runs the call once, whatever happens here: what is asked again carries the same key.
async fn invoke_and_await(
    state: &mut HostState,
    mut arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let asked = Asked::of_another(state, &mut arguments)?;
    Ok(Some(answer::flat(call(state, asked).await?)))
}

/// Makes a call and returns its outcome as it is recorded.
pub(super) async fn call(state: &mut HostState, asked: Asked) -> wasmtime::Result<Value> {
    let key = next_key(state)?;
    let call = match state
        .begin(RESULT, CallKind::WriteRemote, asked.request())
        .await?
    {
        Begun::Recorded(outcome) => return Ok(outcome),
        Begun::New(call) => call,
    };
    let callees = state.context.callees.clone();
    let outcome = callees.call(&asked.with(state, key)).await;
    let outcome = outcome.map_err(answer::passing);
    if let Err(error) = &outcome {
        state.retry_after(&call, error)?;
    }
    state.end(call, answer::recorded(outcome)).await
}

async fn invoke(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let asked = Asked::of_another(state, &mut arguments)?;
    Ok(Some(send(state, asked).await?))
}

/// Queues a call; the outcome says whether that was possible.
pub(super) async fn send(state: &mut HostState, asked: Asked) -> wasmtime::Result<Value> {
    let key = next_key(state)?;
    let call = match state
        .begin(INVOKE, CallKind::WriteRemote, asked.request())
        .await?
    {
        Begun::Recorded(outcome) => return Ok(outcome),
        Begun::New(call) => call,
    };
    let callees = state.context.callees.clone();
    let outcome = callees.send(&asked.with(state, key)).await;
    let outcome = outcome.map_err(answer::passing);
    if let Err(error) = &outcome {
        state.retry_after(&call, error)?;
    }
    state.end(call, answer::acknowledged(outcome)).await
}
