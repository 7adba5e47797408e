use std::{sync::Arc, time::Duration};

use kiln_proto::{
    ids::{ComponentVersion, WorkerId},
    v1::{self, RetryPolicy},
};
use wasmtime::{
    AsContextMut, Store, UpdateDeadline,
    component::{Func, Instance as WasmInstance, Val},
};

use super::{
    CallError, Callees, Cluster, Failures, FilesError, Found, HostState, InitialFile, Interrupter,
    Invocation, NoCluster, NoStorage, Outside, Room, StartError, Storage, SystemOutside, TrapKind, Unbounded,
    failure::{call_error, start_error},
    golem::finish_open_spans,
    value::{ArgumentError, check_arguments, lift, lower},
    wasi::http::serving,
};
use crate::{
    component::{FunctionRef, LoadedComponent, Target},
    invoke::retry,
    journal::{self, Journal},
    replay::step::StepError,
};

/// A guest that waits longer than this is suspended, where the node's configuration says nothing else.
pub const SUSPEND_AFTER_DEFAULT: Duration = Duration::from_secs(10);

/// What was done within the limit once may take longer on a slower machine, but not for ever: other code that is tried out on
/// an old oplog may loop.
const REPLAY_CPU_FACTOR: u32 = 4;

/// Who a worker is and what surrounds it.
#[derive(Clone)]
pub struct WorkerContext {
    /// Its identity.
    pub id: WorkerId,
    /// The version of the component that it runs.
    pub component_version: ComponentVersion,
    /// Its arguments, without a program name.
    pub args: Vec<String>,
    /// The environment as the guest sees it; see [`guest_environment`](super::env::guest_environment).
    pub env: Vec<(String, String)>,
    /// Its configuration variables.
    pub config: Vec<(String, String)>,
    /// The application whose keys and blobs it uses.
    pub application: String,
    /// Where those are.
    pub storage: Arc<dyn Storage>,
    /// Components behind the client stubs that it imports, by the stubs' names without a version.
    pub clients: Arc<[(String, String)]>,
    /// Where time and randomness come from.
    pub outside: Arc<dyn Outside>,
    /// Whom the host asks about other workers.
    pub cluster: Arc<dyn Cluster>,
    /// The workers that the guest calls.
    pub callees: Arc<dyn Callees>,
    /// The retry policy until the guest sets another.
    pub retry_policy: RetryPolicy,
    /// How often the worker has failed in a row, before this instance.
    pub failures: Failures,
    /// A guest that waits longer than this is suspended.
    pub suspend_after: Duration,
    /// Stops the guest, also while it starts up. One for each instance.
    pub interrupter: Interrupter,
    /// Files that it finds in its folder.
    pub files: Arc<[InitialFile]>,
    /// The node's memory that it shares with others.
    pub room: Arc<dyn Room>,
}

impl WorkerContext {
    /// A worker without arguments and variables.
    #[must_use]
    pub fn new(id: WorkerId, component_version: ComponentVersion) -> Self {
        let outside = Arc::new(SystemOutside);
        Self {
            id,
            component_version,
            args: Vec::new(),
            env: Vec::new(),
            config: Vec::new(),
            application: "default".to_owned(),
            clients: Arc::default(),
            storage: Arc::new(NoStorage::default()),
            outside,
            cluster: Arc::new(NoCluster),
            callees: Arc::new(NoCluster),
            retry_policy: retry::DEFAULT,
            failures: Failures::default(),
            suspend_after: SUSPEND_AFTER_DEFAULT,
            interrupter: Interrupter::default(),
            files: Arc::default(),
            room: Arc::new(Unbounded),
        }
    }
}

/// A component instantiated for one worker. One call at a time.
///
/// Invariant: when a call ends with anything but a result or a refusal of its arguments, or its future is dropped, the
/// guest's memory is in an unknown state and every later call is [`CallError::Unusable`].
pub struct Instance {
    store: Store<HostState>,
    instance: WasmInstance,
    component: Arc<LoadedComponent>,
    /// Looked up at first use, by slot.
    functions: Vec<Option<Func>>,
    usable: bool,
}

impl Instance {
    /// Instantiates a component. The guest's start-up code runs, and may make host calls that are recorded or replayed:
    /// the caller takes the Create entry before, and everything else after.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        component: &Arc<LoadedComponent>,
        context: WorkerContext,
        journal: Journal,
    ) -> Result<Self, StartError> {
        let state = HostState::new(component, context, journal).map_err(StartError::Surroundings)?;
        let options = component.engine().options();
        let mut store = Store::new(component.engine().wasmtime(), state);
        store.limiter_async(|state| state);
        store.set_hostcall_fuel(options.guest.host_call_bytes_max);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| give_way(store.data_mut()));
        let (interrupter, processor) = (store.data().interrupter.clone(), store.data().processor.clone());
        let starting = processor.meter(component.pre().instantiate_async(&mut store));
        let instance = match interrupter.run(starting).await {
            Some(Ok(instance)) => instance,
            Some(Err(error)) => return Err(start_error(&error, store.data_mut())),
            None => return Err(StartError::Guest(CallError::Interrupted)),
        };
        store.data_mut().end_output();
        store.data_mut().memory.start();
        let functions = vec![None; component.targets().len()];
        Ok(Self {
            store,
            instance,
            component: component.clone(),
            functions,
            usable: true,
        })
    }

    /// Calls an exported function. Host calls go through the journal; nothing is committed here except what must be
    /// durable before the guest may go on.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &mut self,
        function: &FunctionRef,
        arguments: &[v1::Value],
    ) -> Result<Option<v1::Value>, CallError> {
        if !self.usable {
            return Err(CallError::Unusable);
        }
        let function = self.own(function)?;
        let lowered = self.lower(&function, arguments)?;
        let state = self.store.data();
        state.stdio.begin();
        state.processor.reset();
        self.store.set_epoch_deadline(1);
        // Until the call has ended well: its future may be dropped at any point.
        self.usable = false;
        let result = match self.component.targets().get(function.slot) {
            Some(Target::Export(_)) => self.call_export(&function, &lowered).await?,
            Some(Target::HttpHandler(_)) => Some(self.serve(&function, arguments).await?),
            Some(Target::DropResource) => {
                self.drop_resource(&lowered).await?;
                None
            }
            None => return Err(CallError::Unusable),
        };
        let state = self.store.data_mut();
        if let Err(error) = finish_open_spans(state) {
            return Err(call_error(&error, state));
        }
        if let Err(error) = state.end_exchanges() {
            return Err(call_error(&error, state));
        }
        state.end_invocation();
        self.usable = true;
        Ok(result)
    }

    /// Says which invocation the next call belongs to.
    pub fn enter(&mut self, invocation: Invocation) {
        let state = self.store.data_mut();
        state.invocation = invocation;
        state.spans = None;
    }

    /// Says whether the next call saves or loads a snapshot: nothing of that is recorded or replayed.
    pub(super) fn set_snapshotting(&mut self, is_snapshotting: bool) {
        self.store.data_mut().control.is_snapshotting = is_snapshotting;
    }

    /// The oplog of the worker.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.store.data().journal
    }

    /// Stops the guest from another task.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        self.store.data().interrupter.clone()
    }

    /// The component that runs.
    #[must_use]
    pub fn component(&self) -> &Arc<LoadedComponent> {
        &self.component
    }

    /// Linear memory of the guest, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory.used()
    }

    /// Lists a folder or reads a file of the guest, up to `bytes_max`. Nothing of it is recorded.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub async fn files(&mut self, path: &str, bytes_max: u64) -> Result<Found, FilesError> {
        self.store.data_mut().find_file(path, bytes_max).await
    }

    /// False once a call failed.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// The same function of the component that runs here, if `function` was looked up in another version of it.
    fn own(&self, function: &FunctionRef) -> Result<FunctionRef, CallError> {
        let exports = self.component.exports();
        if exports.contains(function) {
            return Ok(function.clone());
        }
        exports
            .find(&function.full_name)
            .map_err(|unknown| CallError::Trap {
                message: unknown.to_string(),
                kind: TrapKind::Other,
                stderr: String::new(),
                retry_from: self.store.data().retry_from(),
            })
    }

    fn lower(&mut self, function: &FunctionRef, arguments: &[v1::Value]) -> Result<Vec<Val>, ArgumentError> {
        let params = &function.signature.params;
        if arguments.len() != params.len() {
            // Reports the count.
            check_arguments(&function.signature, arguments.to_vec())?;
        }
        let resources = &mut self.store.data_mut().resources;
        let mut lowered = Vec::with_capacity(params.len());
        for (at, (param, value)) in params.iter().zip(arguments).enumerate() {
            match lower(value, &param.ty, resources) {
                Ok(val) => lowered.push(val),
                Err(unfit) => {
                    resources.give_back();
                    return Err(unfit.of_argument(at + 1, param));
                }
            }
        }
        resources.hand_over();
        Ok(lowered)
    }

    async fn call_export(
        &mut self,
        function: &FunctionRef,
        arguments: &[Val],
    ) -> Result<Option<v1::Value>, CallError> {
        let Some(export) = self.export(function.slot) else {
            return Err(CallError::Unusable);
        };
        let mut result = [Val::Bool(false)];
        let results = if function.signature.result.is_some() {
            &mut result[..]
        } else {
            &mut []
        };
        let state = self.store.data();
        let (interrupter, processor) = (state.interrupter.clone(), state.processor.clone());
        let calling = processor.meter(export.call_async(&mut self.store, arguments, results));
        match interrupter.run(calling).await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(call_error(&error, self.store.data_mut())),
            None => return Err(CallError::Interrupted),
        }
        let Some(ty) = &function.signature.result else {
            return Ok(None);
        };
        let [val] = result;
        let value = lift(val, ty, &mut self.store.data_mut().resources);
        value.map(Some).map_err(|_| CallError::Unusable)
    }

    /// Calls the exported HTTP handler with a request made from a record.
    async fn serve(
        &mut self,
        function: &FunctionRef,
        arguments: &[v1::Value],
    ) -> Result<v1::Value, CallError> {
        let (Some(handler), [request]) = (self.export(function.slot), arguments) else {
            return Err(CallError::Unusable);
        };
        let served = match serving::begin(&mut self.store, request.clone()) {
            Ok(Ok(served)) => served,
            Ok(Err(answer)) => return Ok(answer),
            Err(error) => return Err(call_error(&error, self.store.data_mut())),
        };
        let arguments = [Val::Resource(served.request), Val::Resource(served.out)];
        let state = self.store.data();
        let (interrupter, processor) = (state.interrupter.clone(), state.processor.clone());
        let handling = processor.meter(handler.call_async(&mut self.store, &arguments, &mut []));
        match interrupter.run(handling).await {
            Some(Ok(())) => Ok(serving::end(self.store.data_mut(), served).await),
            Some(Err(error)) => Err(call_error(&error, self.store.data_mut())),
            None => Err(CallError::Interrupted),
        }
    }

    fn export(&mut self, slot: usize) -> Option<Func> {
        if let Some(function) = self.functions.get(slot)? {
            return Some(*function);
        }
        let Some(Target::Export(index) | Target::HttpHandler(index)) = self.component.targets().get(slot)
        else {
            return None;
        };
        let function = self.instance.get_func(&mut self.store, index)?;
        self.functions[slot] = Some(function);
        Some(function)
    }

    async fn drop_resource(&mut self, arguments: &[Val]) -> Result<(), CallError> {
        let Some(Val::Resource(resource)) = arguments.first() else {
            return Err(CallError::Unusable);
        };
        let state = self.store.data();
        let (interrupter, processor) = (state.interrupter.clone(), state.processor.clone());
        let dropping = processor.meter(resource.resource_drop_async(self.store.as_context_mut()));
        match interrupter.run(dropping).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(call_error(&error, self.store.data_mut())),
            None => Err(CallError::Interrupted),
        }
    }
}

/// At each tick a running guest gives way to others; that is also when an interrupt is seen. A guest that has recorded a
/// lot waits until that is committed, so that the tail stays small however long it runs.
fn give_way(state: &mut HostState) -> wasmtime::Result<UpdateDeadline> {
    state.record_logs();
    let cpu_max = state.limits.invocation_cpu_max;
    state.processor.check(if state.journal.is_live() {
        cpu_max
    } else {
        cpu_max.saturating_mul(REPLAY_CPU_FACTOR)
    })?;
    if state.journal.is_broken() {
        return Err(StepError::Journal(journal::Error::Broken).into());
    }
    if !state.journal.is_full() {
        return Ok(UpdateDeadline::Yield(1));
    }
    let journal = state.journal.clone();
    // On its own task, so that the commit comes to its end even when the guest is dropped meanwhile.
    let commit = tokio::spawn(async move { journal.commit().await.map(|_| ()) });
    let wait = async move {
        // A failure shows at the next tick, or at the invocation's own commit.
        let _ = commit.await;
    };
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(wait)))
}
