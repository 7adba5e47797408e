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

const RESULT: &str = "golem::rpc::wasm-rpc::invoke-and-await result";
const INVOKE: &str = "golem::rpc::wasm-rpc::invoke";

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
    let key = next_key(state)?;
    let call = match state
        .begin(RESULT, CallKind::WriteRemote, asked.request())
        .await?
    {
        Begun::Recorded(outcome) => return Ok(Some(answer::flat(outcome))),
        Begun::New(call) => call,
    };
    let callees = state.context.callees.clone();
    let outcome = callees.call(&asked.with(state, key)).await;
    let outcome = outcome.map_err(answer::passing);
    if let Err(error) = &outcome {
        state.retry_after(&call, error)?;
    }
    let outcome = state.end(call, answer::recorded(outcome)).await?;
    Ok(Some(answer::flat(outcome)))
}

async fn invoke(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let asked = Asked::of_another(state, &mut arguments)?;
    let key = next_key(state)?;
    let call = match state
        .begin(INVOKE, CallKind::WriteRemote, asked.request())
        .await?
    {
        Begun::Recorded(outcome) => return Ok(Some(outcome)),
        Begun::New(call) => call,
    };
    let callees = state.context.callees.clone();
    let outcome = callees.send(&asked.with(state, key)).await;
    let outcome = outcome.map_err(answer::passing);
    if let Err(error) = &outcome {
        state.retry_after(&call, error)?;
    }
    Ok(Some(state.end(call, answer::acknowledged(outcome)).await?))
}
