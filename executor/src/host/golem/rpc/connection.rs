//! `wasm-rpc`: another worker, as a guest holds it.

use kiln_proto::{ids::WorkerId, v1::Value};
use uuid::Uuid;
use wasmtime::component::Resource;

use crate::{
    host::{
        Heritage, HostState,
        dynamic::{Arguments, Interface, ResourceKind, handle},
        golem::shapes::{component_id, component_id_of, text_field, worker_id_of},
        payload::{request, string, text_of},
    },
    replay::step::StepError,
};

const NEW_NAME: &str = "golem::rpc::wasm-rpc::generate_unique_local_worker_id";

const CONNECTION: ResourceKind = ResourceKind::of::<Connection>(40);

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .resource(&["wasm-rpc"], CONNECTION)
        .function(&["[constructor]wasm-rpc"], |state, arguments| {
            Box::pin(construct(state, arguments))
        })
        .function(&["[static]wasm-rpc.ephemeral"], |state, arguments| {
            Box::pin(ephemeral(state, arguments))
        })
}

/// The other end of a guest's calls.
pub(super) struct Connection {
    pub(super) target: WorkerId,
}

/// The connection that an argument names.
pub(super) fn target(state: &HostState, rep: u32) -> wasmtime::Result<WorkerId> {
    let connection = state.table.get(&Resource::<Connection>::new_borrow(rep))?;
    Ok(connection.target.clone())
}

async fn construct(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let target = target_of(&arguments.value()?)?;
    connect(state, target).await
}

/// A worker that nobody else knows of.
async fn ephemeral(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let component = component_id_of(&arguments.value()?)?;
    let name = state.read_local(NEW_NAME, request(component_id(component)), |state| {
        string(&state.random_uuid().to_string())
    })?;
    let name = text_of(name).unwrap_or_default().parse()?;
    connect(state, WorkerId { component, name }).await
}

/// By id, in either dialect; old components name a worker by its URI.
pub(super) fn target_of(given: &Value) -> wasmtime::Result<WorkerId> {
    match text_field(given, &["value"]) {
        Ok(uri) => worker_of(&uri),
        Err(_) => worker_id_of(given),
    }
}

/// The worker that a URI names.
pub(super) fn worker_of(uri: &str) -> wasmtime::Result<WorkerId> {
    let path = uri.strip_prefix("urn:worker:");
    let parts = path.and_then(|path| path.split_once('/'));
    let (component, name) = parts.ok_or_else(|| wasmtime::format_err!("\"{uri}\" is no URI of a worker"))?;
    Ok(WorkerId {
        component: component.parse()?,
        name: name.parse()?,
    })
}

async fn connect(state: &mut HostState, target: WorkerId) -> wasmtime::Result<Option<Value>> {
    make(state, &target).await?;
    let connection = state.table.push(Connection { target })?;
    Ok(Some(handle(connection.rep())))
}

/// Makes the target, unless it exists. It gets what its maker was given.
pub(super) async fn make(state: &mut HostState, target: &WorkerId) -> wasmtime::Result<()> {
    // While replaying this has been done: there is an entry behind it.
    if !state.journal.is_live() || *target == state.context.id {
        return Ok(());
    }
    state.record_logs();
    state.journal.commit().await.map_err(StepError::from)?;
    let context = state.context.clone();
    let heritage = Heritage {
        parent: context.id.clone(),
        args: context.args.clone(),
        env: context.env.clone(),
        config: context.config.clone(),
    };
    match context.callees.create(target, &heritage).await {
        Err(error) if error.is_retryable() => Err(StepError::from(error).into()),
        // The guest hears of it when it calls.
        Err(error) => {
            tracing::debug!(worker = %context.id, %target, %error, "cannot make the worker");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

impl HostState {
    /// A UUID that nobody can foresee.
    pub(in crate::host) fn random_uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.outside.fill_random(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
