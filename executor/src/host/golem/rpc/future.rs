//! Calls whose result is fetched later. While they are under way, the guest does something else.

use std::sync::Arc;

use kiln_proto::{Error, v1::Value};
use tokio::{sync::watch, task::JoinHandle};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{Pollable, subscribe};

use super::{
    answer,
    call::{Asked, next_key},
};
use crate::{
    host::{
        Callees, GuestCall, HostState,
        dynamic::{Arguments, Interface, ResourceKind, handle},
        golem::shapes::{option, record, uuid},
        payload::request,
        recorded::option_of,
    },
    invoke::outcome::lost,
    journal::Journal,
    replay::{Kind as CallKind, step::StepError},
};

pub(super) const GET: &str = "golem::rpc::future-invoke-result::get";

pub(super) const FUTURE: ResourceKind = ResourceKind::with_drop(41, let_go);

type Outcome = Result<Option<Value>, Error>;

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(
            &["[method]wasm-rpc.async-invoke-and-await"],
            |state, arguments| Box::pin(async { async_invoke_and_await(state, arguments) }),
        )
        .resource(&["future-invoke-result"], FUTURE)
        .function(&["[method]future-invoke-result.subscribe"], |state, arguments| {
            Box::pin(async { subscribe_future(state, arguments) })
        })
        .function(&["[method]future-invoke-result.get"], |state, arguments| {
            Box::pin(get(state, arguments))
        })
}

/// A call whose result the guest has yet to fetch.
struct FutureResult {
    /// What is recorded when the guest asks for the result.
    request: Value,
    call: Arc<PendingCall>,
    is_taken: bool,
}

/// A call that is under way, or will be as soon as somebody waits for it.
pub(in crate::host) struct PendingCall {
    call: GuestCall,
    journal: Journal,
    callees: Arc<dyn Callees>,
    outcome: watch::Sender<Option<Outcome>>,
    task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl PendingCall {
    fn new(state: &HostState, call: GuestCall) -> Arc<Self> {
        Arc::new(Self {
            call,
            journal: state.journal.clone(),
            callees: state.context.callees.clone(),
            outcome: watch::Sender::new(None),
            task: parking_lot::Mutex::default(),
        })
    }

    /// Sends the call, unless that was done in this life of the worker: the same key makes it one with those of earlier
    /// lives.
    fn send(&self) {
        let mut task = self.task.lock();
        if task.is_some() {
            return;
        }
        let (call, journal) = (self.call.clone(), self.journal.clone());
        let (callees, outcome) = (self.callees.clone(), self.outcome.clone());
        *task = Some(tokio::spawn(async move {
            // What the call depends on comes first.
            let result = match journal.commit().await {
                Ok(_) => callees.call(&call).await,
                Err(error) => Err(lost(&error)),
            };
            outcome.send_replace(Some(result.map_err(answer::passing)));
        }));
    }

    async fn arrived(&self) {
        // The sender lives here.
        let _ = self
            .outcome
            .subscribe()
            .wait_for(|outcome| outcome.is_some())
            .await;
    }

    fn has_arrived(&self) -> bool {
        self.outcome.borrow().is_some()
    }
}

/// Whoever waited for it is gone with the instance; the worker's next life sends it again.
impl Drop for PendingCall {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

fn async_invoke_and_await(
    state: &mut HostState,
    mut arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let asked = Asked::of_another(state, &mut arguments)?;
    begin(state, asked).map(Some)
}

/// Begins a call; the result is the resource at which its outcome is fetched.
pub(super) fn begin(state: &mut HostState, asked: Asked) -> wasmtime::Result<Value> {
    let key = next_key(state)?;
    let request = record([("idempotency-key", uuid(key)), ("call", asked.request())]);
    let call = asked.with(state, key);
    let call = PendingCall::new(state, call);
    if state.journal.is_live() {
        call.send();
    }
    let future = FutureResult {
        request,
        call,
        is_taken: false,
    };
    let future = state.table.push(future)?;
    Ok(handle(future.rep()))
}

pub(super) fn subscribe_future(
    state: &mut HostState,
    mut arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let future = Resource::<FutureResult>::new_borrow(arguments.resource()?);
    let arrival = Arrival(state.table.get(&future)?.call.clone());
    let arrival = state.table.push(arrival)?;
    let pollable = subscribe(&mut state.table, arrival)?;
    Ok(Some(handle(pollable.rep())))
}

/// Ready once the result is here.
struct Arrival(Arc<PendingCall>);

#[async_trait::async_trait]
impl Pollable for Arrival {
    async fn ready(&mut self) {
        // While replaying, what comes of it is recorded.
        if self.0.journal.is_live() {
            self.0.send();
            self.0.arrived().await;
        }
    }
}

async fn get(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let outcome = fetch(state, arguments.resource()?)?;
    Ok(Some(option(outcome.map(answer::flat))))
}

/// The outcome as it is recorded, if it is here. That it is not yet is recorded as well: when it comes is a matter of time.
pub(super) fn fetch(state: &mut HostState, rep: u32) -> wasmtime::Result<Option<Value>> {
    let future = state.table.get(&Resource::<FutureResult>::new_borrow(rep))?;
    if future.is_taken {
        wasmtime::bail!("the result of this call was taken already");
    }
    let asked = request(future.request.clone());
    let call = future.call.clone();
    let outcome = match state.recorded(GET, &asked)? {
        Some(recorded) => recorded,
        None => {
            let outcome = option(take(state, &call)?.map(answer::recorded));
            state.record(GET, CallKind::WriteRemote, asked, outcome.clone());
            outcome
        }
    };
    let outcome = option_of(outcome);
    if outcome.is_some() {
        let future = Resource::<FutureResult>::new_borrow(rep);
        state.table.get_mut(&future)?.is_taken = true;
    }
    Ok(outcome)
}

/// The outcome, if it is here. One that may be another in a while ends the attempt, as long as there are attempts left.
fn take(state: &HostState, call: &PendingCall) -> wasmtime::Result<Option<Outcome>> {
    call.send();
    let outcome = call.outcome.borrow().clone();
    if let Some(Err(error)) = &outcome
        && error.is_retryable()
        && state.control.has_attempts_left(state.journal.current_index())
    {
        return Err(StepError::from(error.clone()).into());
    }
    Ok(outcome)
}

/// A call that was begun is made, also when the guest does not care for its result.
fn let_go(state: &mut HostState, rep: u32) -> wasmtime::Result<()> {
    let future = state.table.delete(Resource::<FutureResult>::new_own(rep))?;
    state.unawaited.retain(|call| !call.has_arrived());
    if state.journal.is_live() && !future.is_taken && !future.call.has_arrived() {
        future.call.send();
        state.unawaited.push(future.call);
    }
    Ok(())
}
