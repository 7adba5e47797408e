//! `golem:durability/durability`: authors of libraries make their own interfaces durable, exactly as WASI is.
//!
//! * `calls` – beginning, ending, persisting and reading back calls that the guest makes itself
//! * `function_type` – how such a call touches the world
//! * `lazy` – a pollable that is made before the one that it waits for

mod calls;
mod function_type;
mod lazy;

use kiln_proto::v1::{FieldValue, Value};

use crate::{
    host::{HostState, dynamic::Interface, golem::host::level_value},
    replay::step::StepError,
};

pub(super) fn interface() -> Interface {
    let interface = Interface::new("golem:durability/durability", &["1.2."])
        // Only counts calls; nothing depends on it.
        .function(&["observe-function-call"], |_, _| Box::pin(async { Ok(None) }))
        .function(&["current-durable-execution-state"], |state, _| {
            Box::pin(async { execution_state(state) })
        });
    lazy::add(calls::add(interface))
}

fn execution_state(state: &mut HostState) -> wasmtime::Result<Option<Value>> {
    // Where calls are not replayed they are made.
    let is_live = !state.is_recorded() || state.journal.is_live_behind_zone().map_err(StepError::from)?;
    Ok(Some(Value::record(vec![
        FieldValue::of("is-live", is_live),
        FieldValue::of("persistence-level", level_value(state.control.level)),
    ])))
}
