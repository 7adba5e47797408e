use std::sync::Arc;

use kiln_proto::{
    ids::{ComponentId, WorkerId},
    v1::Value,
};

use super::{Client, calls::result_of, role::Named, served_package, unversioned};
use crate::{
    host::{
        HostState, WorkerContext,
        durable::Begun,
        dynamic::handle,
        golem::{
            rpc::{
                call::Asked,
                connection::{make, target_of},
                invoke,
            },
            shapes::{component_id_of, field, option, record, worker_id, worker_id_of},
        },
        payload::{string, text_of},
        recorded::{boolean, is_true},
    },
    replay::{Kind as CallKind, step::StepError},
};

const CONNECT: &str = "golem::rpc::client::connect";

/// Makes a client: finds its worker, which is made if need be, and there makes the resource that the client stands for, from
/// the arguments.
pub(super) async fn connect(
    state: &mut HostState,
    import: &str,
    resource: Arc<str>,
    named: Named,
    worker: Option<Value>,
    arguments: Vec<Value>,
) -> wasmtime::Result<Option<Value>> {
    let asked = record([
        ("client", string(import)),
        ("resource", string(&resource)),
        ("worker", option(worker.clone())),
    ]);
    let found = match state.begin(CONNECT, CallKind::ReadRemote, asked).await? {
        Begun::Recorded(found) => found,
        Begun::New(call) => {
            let fresh_name = state.random_uuid().to_string();
            let context = state.context.clone();
            let worker = find(&context, import, named, worker, fresh_name).await?;
            let is_resource = !arguments.is_empty() || is_resource(&context, &worker, &resource).await?;
            let found = record([
                ("worker-id", worker_id(&worker)),
                ("is-resource", boolean(is_resource)),
            ]);
            state.end(call, found).await?
        }
    };
    let worker = worker_id_of(field(&found, &["worker-id"])?)?;
    make(state, &worker).await?;
    let mut client = Client {
        worker,
        resource,
        remote: None,
    };
    if is_true(field(&found, &["is-resource"])?) {
        let function = format!("{{[constructor]{}}}", client.resource);
        let asked = Asked::typed(client.worker.clone(), function, &arguments)?;
        let outcome = invoke::call(state, asked).await?;
        client.remote = result_of(outcome)?;
    }
    let client = state.table.push(client)?;
    Ok(Some(handle(client.rep())))
}

/// The worker that a guest names, or one with a fresh name.
async fn find(
    context: &WorkerContext,
    import: &str,
    named: Named,
    worker: Option<Value>,
    fresh_name: String,
) -> wasmtime::Result<WorkerId> {
    let (component, name) = match (named, worker) {
        (Named::Id, Some(id)) => return target_of(&id),
        (Named::Component, Some(id)) => (component_id_of(&id)?, fresh_name),
        (Named::Name, Some(name)) => (
            component_of(context, import).await?,
            text_of(name).unwrap_or_default(),
        ),
        _ => (component_of(context, import).await?, fresh_name),
    };
    let name = name.parse().map_err(|error| wasmtime::format_err!("{error}"))?;
    Ok(WorkerId { component, name })
}

/// The component that is configured for this client, else the one that is called like the package it was made from.
async fn component_of(context: &WorkerContext, import: &str) -> wasmtime::Result<ComponentId> {
    let configured = context.clients.iter();
    let mut configured = configured
        .filter(|(client, _)| client == unversioned(import))
        .map(|(_, component)| component.as_str());
    let references: Vec<&str> = match configured.next_back() {
        Some(component) => vec![component],
        None => default_components(import).collect(),
    };
    for reference in &references {
        let found = context.cluster.component(reference).await;
        if let Some(found) = found.map_err(StepError::from)? {
            return Ok(found);
        }
    }
    wasmtime::bail!(
        "no component for the client {import}: there is none named {}",
        references.join(" or ")
    )
}

/// Names of the component behind a client that is not configured: that of the package, with or without its namespace.
pub(crate) fn default_components(import: &str) -> impl Iterator<Item = &str> {
    let package = served_package(import).into_iter();
    package.flat_map(|package| {
        let bare = package.split_once(':').map(|(_, name)| name);
        std::iter::once(package).chain(bare)
    })
}

/// A constructor without arguments may be that of an interface or of a resource: the component tells.
async fn is_resource(context: &WorkerContext, worker: &WorkerId, resource: &str) -> wasmtime::Result<bool> {
    let constructor = format!("{{[constructor]{resource}}}");
    let found = context.cluster.has_function(worker.component, &constructor).await;
    Ok(found.map_err(StepError::from)?)
}
