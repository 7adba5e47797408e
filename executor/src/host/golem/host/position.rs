//! Where the worker stands in its oplog: reading that, committing, going back, and regions that are repeated as a whole.

use kiln_proto::{
    ids::OplogIndex,
    v1::{BeginIndexEntry, EmptyEntry, Value, oplog_entry::Entry},
};

use crate::{
    host::{
        HostState,
        dynamic::{Arguments, Interface},
        leave::Leave,
        payload::u64_value,
    },
    replay::step,
};

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .function(&["get-oplog-index"], |state, _| {
            Box::pin(async { get_oplog_index(state) })
        })
        .function(&["set-oplog-index"], |state, arguments| {
            Box::pin(set_oplog_index(state, arguments))
        })
        .function(&["oplog-commit"], |state, _| Box::pin(oplog_commit(state)))
        .function(&["mark-begin-operation"], |state, _| {
            Box::pin(async { mark_begin_operation(state) })
        })
        .function(&["mark-end-operation"], |state, arguments| {
            Box::pin(async { mark_end_operation(state, arguments) })
        })
}

fn get_oplog_index(state: &mut HostState) -> wasmtime::Result<Option<Value>> {
    let index = state.mark(
        "no-op",
        |entry| matches!(entry, Entry::NoOp(_)),
        |_| Entry::NoOp(EmptyEntry {}),
    )?;
    Ok(Some(u64_value(index.0)))
}

/// Goes on from behind the entry at an index, as if nothing had happened since.
async fn set_oplog_index(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let index = OplogIndex(arguments.u64()?);
    state.record_logs();
    if !state.is_recorded() || !state.journal.is_live() {
        return Ok(None);
    }
    let current = state.journal.current_index();
    if index >= current {
        wasmtime::bail!("Attempted to set oplog index to {index} that is not before {current}");
    }
    if index == OplogIndex::NONE || state.journal.is_void(index) {
        wasmtime::bail!("Attempted to set oplog index to {index} which counts no more");
    }
    state.journal.jump(index.next());
    state.journal.commit().await.map_err(step::StepError::from)?;
    Err(Leave::Jump.into())
}

/// What is committed is on a majority of the shard's replicas: no number of replicas that could be asked for is more.
async fn oplog_commit(state: &mut HostState) -> wasmtime::Result<Option<Value>> {
    state.record_logs();
    if state.journal.is_live() {
        state.journal.commit().await.map_err(step::StepError::from)?;
    }
    Ok(None)
}

/// Begins a region that is repeated as a whole when it fails or is interrupted.
fn mark_begin_operation(state: &mut HostState) -> wasmtime::Result<Option<Value>> {
    let was_live = state.journal.is_live();
    let begin = state.mark(
        "begin-atomic-region",
        |entry| matches!(entry, Entry::BeginAtomicRegion(_)),
        |_| Entry::BeginAtomicRegion(EmptyEntry {}),
    )?;
    if !state.is_recorded() {
        return Ok(Some(u64_value(begin.0)));
    }
    state.control.enter_region(begin);
    if !was_live && !state.journal.is_live() && !is_closed(state, begin)? {
        state.journal.jump(begin.next());
    }
    Ok(Some(u64_value(begin.0)))
}

/// True when the region's end, or the end of the invocation, is recorded ahead.
fn is_closed(state: &HostState, begin: OplogIndex) -> wasmtime::Result<bool> {
    let closed = state.journal.finds_ahead(|entry| match entry {
        Entry::EndAtomicRegion(end) => end.begin_index == begin.0,
        Entry::ExportedFunctionCompleted(_) => true,
        _ => false,
    });
    Ok(closed.map_err(step::StepError::from)?)
}

fn mark_end_operation(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let begin = arguments.u64()?;
    state.mark(
        "end-atomic-region",
        |entry| matches!(entry, Entry::EndAtomicRegion(end) if end.begin_index == begin),
        |_| Entry::EndAtomicRegion(BeginIndexEntry { begin_index: begin }),
    )?;
    state.control.leave_region(OplogIndex(begin));
    Ok(None)
}
