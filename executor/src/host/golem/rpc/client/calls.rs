use std::sync::Arc;

use kiln_proto::v1::{Value, value::Kind};
use wasmtime::component::Resource;

use super::{
    Client, by_handle,
    connect::connect,
    role::{Named, Role},
};
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
    value::Signature,
};

/// A function of a client, as the component declares it.
pub(super) struct Declared {
    /// The interface of the client.
    pub(super) import: Arc<str>,
    pub(super) role: Role,
    pub(super) signature: Signature,
}

impl Declared {
    pub(super) fn into_body(self) -> BoxedBody {
        let declared = Arc::new(self);
        Box::new(move |state, arguments| {
            let declared = declared.clone();
            Box::pin(async move { declared.run(state, arguments).await })
        })
    }

    async fn run(&self, state: &mut HostState, arguments: Arguments) -> wasmtime::Result<Option<Value>> {
        match &self.role {
            Role::Connect { resource, worker } => self.connect(state, resource, *worker, arguments).await,
            Role::Call(function) => {
                let asked = self.asked_now(state, function, arguments)?;
                let outcome = invoke::call(state, asked).await?;
                self.result(state, result_of(outcome)?)
            }
            Role::Send(function) => {
                let asked = self.asked_now(state, function, arguments)?;
                result_of(invoke::send(state, asked).await?)
            }
            Role::Begin(function) => {
                let asked = self.asked_now(state, function, arguments)?;
                future::begin(state, asked).map(Some)
            }
            Role::Schedule(function) => self.schedule(state, function, arguments).await,
            Role::Subscribe => future::subscribe_future(state, arguments),
            Role::Fetch => self.fetch(state, arguments),
        }
    }

    async fn connect(
        &self,
        state: &mut HostState,
        resource: &Arc<str>,
        named: Named,
        mut arguments: Arguments,
    ) -> wasmtime::Result<Option<Value>> {
        let worker = match named {
            Named::Nothing => None,
            Named::Name | Named::Id | Named::Component => Some(arguments.value()?),
        };
        let rest = self.passed_on(state, arguments)?;
        connect(state, &self.import, resource.clone(), named, worker, rest).await
    }

    async fn schedule(
        &self,
        state: &mut HostState,
        function: &str,
        mut arguments: Arguments,
    ) -> wasmtime::Result<Option<Value>> {
        let client = client(state, &mut arguments)?;
        let mut arguments = self.passed_on(state, arguments)?;
        let time = arguments
            .pop()
            .ok_or_else(|| wasmtime::format_err!("a scheduled call needs a time"))?;
        let asked = asked(&client, function, arguments)?;
        let scheduled = schedule::schedule_at(state, &time, asked).await?;
        schedule::token(state, scheduled).map(Some)
    }

    fn fetch(&self, state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
        let outcome = future::fetch(state, arguments.resource()?)?;
        let result = outcome.map(result_of).transpose()?;
        self.result(state, Some(option(result.flatten())))
    }

    /// A call of the method's worker that is made at once, which cannot be the caller itself.
    fn asked_now(
        &self,
        state: &mut HostState,
        function: &str,
        mut arguments: Arguments,
    ) -> wasmtime::Result<Asked> {
        let client = client(state, &mut arguments)?;
        not_self(state, &client.worker)?;
        asked(&client, function, self.passed_on(state, arguments)?)
    }

    /// The arguments that are left, as the worker takes them.
    fn passed_on(&self, state: &mut HostState, arguments: Arguments) -> wasmtime::Result<Vec<Value>> {
        let mut rest = arguments.rest();
        // They come last.
        let params = self.signature.params.iter().rev();
        for (argument, param) in rest.iter_mut().rev().zip(params) {
            by_handle::to_worker(state, argument, &param.ty)?;
        }
        Ok(rest)
    }

    /// What the worker gave, as the guest takes it.
    fn result(&self, state: &mut HostState, result: Option<Value>) -> wasmtime::Result<Option<Value>> {
        let declared = result.zip(self.signature.result.as_ref());
        let result = declared.map(|(result, ty)| by_handle::to_guest(state, result, ty));
        result.transpose()
    }
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
