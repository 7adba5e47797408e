use std::sync::Arc;

use kiln_proto::v1::{Value, value::Kind};
use wasmtime::component::Resource;

use super::{Client, connect::connect, role::Role};
use crate::host::{
    HostState,
    dynamic::{Arguments, BoxedBody},
    golem::{
        rpc::{
            call::{Asked, not_self},
            future, invoke, schedule,
        },
        shapes::option,
    },
};

/// What a function of the client `import` does.
pub(super) fn body(import: Arc<str>, role: Role) -> BoxedBody {
    match role {
        Role::Connect { resource, worker } => Box::new(move |state, arguments| {
            let (import, resource) = (import.clone(), resource.clone());
            Box::pin(async move { connect(state, &import, resource, worker, arguments).await })
        }),
        Role::Call(function) => Box::new(move |state, arguments| {
            let function = function.clone();
            Box::pin(async move { call(state, &function, arguments).await })
        }),
        Role::Send(function) => Box::new(move |state, arguments| {
            let function = function.clone();
            Box::pin(async move { send(state, &function, arguments).await })
        }),
        Role::Begin(function) => Box::new(move |state, arguments| {
            let function = function.clone();
            Box::pin(async move { begin(state, &function, arguments) })
        }),
        Role::Schedule(function) => Box::new(move |state, arguments| {
            let function = function.clone();
            Box::pin(async move { schedule(state, &function, arguments).await })
        }),
        Role::Subscribe => {
            Box::new(|state, arguments| Box::pin(async { future::subscribe_future(state, arguments) }))
        }
        Role::Fetch => Box::new(|state, arguments| Box::pin(async { fetch(state, arguments) })),
    }
}

async fn call(
    state: &mut HostState,
    function: &str,
    arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let asked = asked_now(state, function, arguments)?;
    result_of(invoke::call(state, asked).await?)
}

async fn send(
    state: &mut HostState,
    function: &str,
    arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let asked = asked_now(state, function, arguments)?;
    result_of(invoke::send(state, asked).await?)
}

fn begin(state: &mut HostState, function: &str, arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let asked = asked_now(state, function, arguments)?;
    future::begin(state, asked).map(Some)
}

async fn schedule(
    state: &mut HostState,
    function: &str,
    mut arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let client = client(state, &mut arguments)?;
    let mut arguments = arguments.rest();
    let time = arguments
        .pop()
        .ok_or_else(|| wasmtime::format_err!("a scheduled call needs a time"))?;
    let asked = asked(&client, function, arguments)?;
    let scheduled = schedule::schedule_at(state, &time, asked).await?;
    schedule::token(state, scheduled).map(Some)
}

fn fetch(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let outcome = future::fetch(state, arguments.resource()?)?;
    let result = outcome.map(result_of).transpose()?;
    Ok(Some(option(result.flatten())))
}

/// The guest lets go of a client: what it stands for at its worker goes as well. Nobody waits for that.
pub(super) async fn let_go(state: &mut HostState, rep: u32) -> wasmtime::Result<()> {
    let client = state.table.delete(Resource::<Client>::new_own(rep))?;
    let Some(remote) = client.remote else {
        return Ok(());
    };
    let function = format!("{{[drop]{}}}", client.resource);
    let asked = Asked::typed(client.worker, function, &[remote])?;
    invoke::send(state, asked).await.map(|_| ())
}

/// The client that a method is called of.
fn client(state: &HostState, arguments: &mut Arguments) -> wasmtime::Result<Client> {
    let client = Resource::<Client>::new_borrow(arguments.resource()?);
    Ok(state.table.get(&client)?.clone())
}

/// A call of the method's worker that is made at once, which cannot be the caller itself.
fn asked_now(state: &HostState, function: &str, mut arguments: Arguments) -> wasmtime::Result<Asked> {
    let client = client(state, &mut arguments)?;
    not_self(state, &client.worker)?;
    asked(&client, function, arguments.rest())
}

fn asked(client: &Client, function: &str, arguments: Vec<Value>) -> wasmtime::Result<Asked> {
    let all: Vec<Value> = client.remote.clone().into_iter().chain(arguments).collect();
    Asked::typed(client.worker.clone(), client.function(function), &all)
}

/// What a call gave, from its outcome as it is recorded. Typed functions have no place for an error of the call itself, so that
/// ends the guest.
pub(super) fn result_of(outcome: Value) -> wasmtime::Result<Option<Value>> {
    let Some(Kind::Result(result)) = outcome.kind else {
        wasmtime::bail!("the recorded outcome of a call is no result");
    };
    let payload = result.payload.map(|payload| *payload);
    if result.is_error {
        wasmtime::bail!("the call failed: {}", in_words(payload));
    }
    Ok(payload.and_then(|payload| match payload.kind {
        Some(Kind::Tuple(tuple)) => tuple.values.into_iter().next(),
        _ => None,
    }))
}

/// An `rpc-error` as a text.
fn in_words(error: Option<Value>) -> String {
    let Some(Kind::Variant(variant)) = error.and_then(|error| error.kind) else {
        return "for no known reason".to_owned();
    };
    let text = variant.payload.map(|payload| *payload);
    let text = text.and_then(crate::host::payload::text_of).unwrap_or_default();
    format!("{}: {text}", variant.case.unwrap_or_default().name)
}
