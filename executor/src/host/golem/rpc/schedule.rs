//! Calls that are made at a time, by the owner of the callee's shard.

use kiln_proto::v1::{Value, value::Kind};
use wasmtime::component::Resource;

use super::{
    call::{Asked, next_key},
    connection::target,
};
use crate::{
    host::{
        HostState, ScheduledCall,
        durable::Begun,
        dynamic::{Arguments, Interface, ResourceKind, handle},
        golem::shapes::{field, record, u64_field, uuid, uuid_of, worker_id, worker_id_of},
        payload::u64_value,
    },
    replay::{Kind as CallKind, step::StepError},
};

pub(super) const SCHEDULE: &str = "golem::rpc::wasm-rpc::schedule_invocation";
const CANCEL: &str = "golem::rpc::cancellation-token::cancel";

pub(super) const TOKEN: ResourceKind = ResourceKind::of::<ScheduledCall>(42);

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["[method]wasm-rpc.schedule-invocation"], |state, arguments| {
            Box::pin(schedule_invocation(state, arguments))
        })
        .function(
            &["[method]wasm-rpc.schedule-cancelable-invocation"],
            |state, arguments| Box::pin(schedule_cancelable_invocation(state, arguments)),
        )
        .resource(&["cancellation-token"], TOKEN)
        .function(&["[method]cancellation-token.cancel"], |state, arguments| {
            Box::pin(cancel(state, arguments))
        })
}

async fn schedule_invocation(state: &mut HostState, arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    schedule(state, arguments).await?;
    Ok(None)
}

async fn schedule_cancelable_invocation(
    state: &mut HostState,
    arguments: Arguments,
) -> wasmtime::Result<Option<Value>> {
    let scheduled = schedule(state, arguments).await?;
    token(state, scheduled).map(Some)
}

/// The resource with which a guest takes a scheduled call back.
pub(super) fn token(state: &mut HostState, scheduled: ScheduledCall) -> wasmtime::Result<Value> {
    let token = state.table.push(scheduled)?;
    Ok(handle(token.rep()))
}

async fn schedule(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<ScheduledCall> {
    let worker = target(state, arguments.resource()?)?;
    let time = arguments.value()?;
    let asked = Asked::of(worker, &mut arguments)?;
    schedule_at(state, &time, asked).await
}

/// Has a call made at a time, a `datetime`. The worker may be the caller itself: it makes the call when it has its turn.
pub(super) async fn schedule_at(
    state: &mut HostState,
    time: &Value,
    asked: Asked,
) -> wasmtime::Result<ScheduledCall> {
    let due_ns = time_of(time)?;
    let key = next_key(state)?;
    let request = record([("time", u64_value(due_ns)), ("call", asked.request())]);
    let call = match state.begin(SCHEDULE, CallKind::WriteRemote, request).await? {
        Begun::Recorded(scheduled) => return read(&scheduled),
        Begun::New(call) => call,
    };
    let scheduled = ScheduledCall {
        worker: asked.worker.clone(),
        key,
        due_ns,
    };
    let callees = state.context.callees.clone();
    let done = callees.schedule(&asked.with(state, key), due_ns).await;
    done.map_err(StepError::from)?;
    state.end(call, write(&scheduled)).await?;
    Ok(scheduled)
}

/// Nothing happens when the call has been made.
async fn cancel(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let token = Resource::<ScheduledCall>::new_borrow(arguments.resource()?);
    let scheduled = state.table.get(&token)?.clone();
    let call = match state
        .begin(CANCEL, CallKind::WriteRemote, write(&scheduled))
        .await?
    {
        Begun::Recorded(_) => return Ok(None),
        Begun::New(call) => call,
    };
    let callees = state.context.callees.clone();
    let done = callees.cancel(&scheduled).await;
    done.map_err(StepError::from)?;
    state.end(call, Value::tuple(Vec::new())).await?;
    Ok(None)
}

fn write(scheduled: &ScheduledCall) -> Value {
    record([
        ("worker-id", worker_id(&scheduled.worker)),
        ("idempotency-key", uuid(scheduled.key)),
        ("time", u64_value(scheduled.due_ns)),
    ])
}

fn read(recorded: &Value) -> wasmtime::Result<ScheduledCall> {
    Ok(ScheduledCall {
        worker: worker_id_of(field(recorded, &["worker-id"])?)?,
        key: uuid_of(field(recorded, &["idempotency-key"])?)?,
        due_ns: u64_field(recorded, "time")?,
    })
}

/// Nanoseconds of a `datetime`; one that is too far away to count is never.
fn time_of(datetime: &Value) -> wasmtime::Result<u64> {
    const SECOND_NS: u64 = 1_000_000_000;
    let seconds = u64_field(datetime, "seconds")?;
    let nanoseconds = match field(datetime, &["nanoseconds"])?.kind {
        Some(Kind::U32Value(nanoseconds)) => u64::from(nanoseconds),
        _ => 0,
    };
    Ok(seconds.saturating_mul(SECOND_NS).saturating_add(nanoseconds))
}
