//! What a guest asks for when it calls another worker.

use kiln_proto::{ids::WorkerId, v1::Value};
use uuid::Uuid;

use super::{connection::target, trace::handed_on};
use crate::{
    host::{
        GuestCall, HostState,
        dynamic::Arguments,
        golem::shapes::{list, record, uuid, uuid_of, worker_id},
        idempotency::derived_key,
        payload::{NOTHING, string},
        value::wit::value_to_wit,
    },
    replay::Kind as CallKind,
};

pub(super) const KEY: &str = "golem::rpc::wasm-rpc::invoke-and-await idempotency key";

/// A function of another worker with its arguments.
pub(super) struct Asked {
    pub(super) worker: WorkerId,
    pub(super) function: String,
    pub(super) arguments: Vec<Value>,
}

impl Asked {
    /// Takes a function's name and arguments off a host call's.
    pub(super) fn of(worker: WorkerId, arguments: &mut Arguments) -> wasmtime::Result<Self> {
        Ok(Self {
            worker,
            function: arguments.string()?,
            arguments: arguments.list()?,
        })
    }

    /// A call that is made now. A worker that called itself would wait for itself.
    pub(super) fn of_another(state: &HostState, arguments: &mut Arguments) -> wasmtime::Result<Self> {
        let worker = target(state, arguments.resource()?)?;
        not_self(state, &worker)?;
        Self::of(worker, arguments)
    }

    /// A call with arguments that are values as everybody sees them.
    ///
    /// # Errors
    /// For a value that has no flat form.
    pub(super) fn typed(worker: WorkerId, function: String, arguments: &[Value]) -> wasmtime::Result<Self> {
        let arguments = arguments.iter().map(value_to_wit).collect::<Result<_, _>>();
        Ok(Self {
            worker,
            function,
            arguments: arguments
                .map_err(|error| wasmtime::format_err!("an argument cannot be passed on: {error}"))?,
        })
    }

    /// The request as it is recorded.
    pub(super) fn request(&self) -> Value {
        record([
            ("worker-id", worker_id(&self.worker)),
            ("function-name", string(&self.function)),
            ("function-params", list(self.arguments.clone())),
        ])
    }

    /// The call, with the name under which it is made once.
    pub(super) fn with(self, state: &mut HostState, key: Uuid) -> GuestCall {
        let context = Some(handed_on(state, &self, key));
        GuestCall {
            worker: self.worker,
            function: self.function,
            arguments: self.arguments,
            key,
            context,
        }
    }
}

/// # Errors
/// For the calling worker itself.
pub(super) fn not_self(state: &HostState, worker: &WorkerId) -> wasmtime::Result<()> {
    if *worker == state.context.id {
        wasmtime::bail!("RPC calls to the same agent are not supported");
    }
    Ok(())
}

/// The key of the call that the guest makes now, the same in every life of the worker. Calls that are made again in each
/// life, where nothing is recorded, have a new one each time.
pub(super) fn next_key(state: &mut HostState) -> wasmtime::Result<Uuid> {
    if !state.is_recorded() {
        return Ok(state.random_uuid());
    }
    if let Some(recorded) = state.recorded(KEY, &NOTHING)? {
        return uuid_of(&recorded);
    }
    let key = derived_key(&state.invocation.key, state.journal.current_index());
    state.record(KEY, CallKind::ReadLocal, NOTHING, uuid(key));
    Ok(key)
}
