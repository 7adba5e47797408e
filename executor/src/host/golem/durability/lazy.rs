use kiln_proto::v1::Value;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynPollable, subscribe};
use wasmtime_wasi_io::bindings::wasi::io::poll::HostPollable;

use crate::host::{
    HostState,
    dynamic::{Arguments, Interface, ResourceKind, handle},
    stand_in::Never,
};

const LAZY: ResourceKind = ResourceKind::with_drop(31, drop_lazy);

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .resource(&["lazy-initialized-pollable"], LAZY)
        .function(&["[constructor]lazy-initialized-pollable"], |state, _| {
            Box::pin(async { Ok(Some(handle(state.table.push(Lazy)?.rep()))) })
        })
        .function(&["[method]lazy-initialized-pollable.set"], |state, arguments| {
            Box::pin(async { set(state, arguments) })
        })
        .function(
            &["[method]lazy-initialized-pollable.subscribe"],
            |state, arguments| Box::pin(async { subscribe_lazy(state, arguments) }),
        )
}

/// Only its number counts.
struct Lazy;

fn set(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let lazy = arguments.resource()?;
    let real = arguments.resource()?;
    if let Some(before) = state.stand_ins.set(lazy, real) {
        HostPollable::drop(state, Resource::<DynPollable>::new_own(before))?;
    }
    Ok(None)
}

fn subscribe_lazy(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let lazy = arguments.resource()?;
    let never = state.table.push(Never)?;
    let pollable = subscribe(&mut state.table, never)?;
    state.stand_ins.subscribe(lazy, &pollable);
    Ok(Some(handle(pollable.rep())))
}

/// What it was set to belongs to it.
fn drop_lazy(state: &mut HostState, lazy: u32) -> wasmtime::Result<()> {
    if let Some(real) = state.stand_ins.unset(lazy) {
        HostPollable::drop(state, Resource::<DynPollable>::new_own(real))?;
    }
    state.table.delete(Resource::<Lazy>::new_own(lazy))?;
    Ok(())
}
