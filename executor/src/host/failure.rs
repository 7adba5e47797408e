//! What wasmtime says when a guest fails, in words for users and kinds for the retry policy.

use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::{I32Exit, ResourceTableError};

use super::{
    CallError, HostState, StartError, TrapKind, leave::Leave, limiter::NoRoom, limits::LimitExceeded,
    processor::TooMuchTime,
};
use crate::replay::step::StepError;

/// Frames of the guest's call stack that an error shows.
const FRAMES_MAX: usize = 8;

/// What wasmtime says when a guest passes more to one host call than that may take. The error's type is private to it.
const TOO_MUCH_PASSED: &str = "fuel allocated for hostcalls has been exhausted";

pub(super) fn start_error(error: &Error, state: &mut HostState) -> StartError {
    if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return StartError::NoRoom {
            message: full.to_string(),
        };
    }
    StartError::Guest(call_error(error, state))
}

pub(super) fn call_error(error: &Error, state: &mut HostState) -> CallError {
    state.end_output();
    match error.downcast_ref::<StepError>() {
        Some(StepError::Divergence(divergence)) => return CallError::Divergence(divergence.clone()),
        Some(StepError::Journal(error)) => return CallError::Journal(error.clone()),
        Some(StepError::NotRepeatable | StepError::Trouble(_)) | None => {}
    }
    match error.downcast_ref::<Leave>() {
        Some(Leave::Suspend(wait)) => return CallError::Suspend(wait.clone()),
        Some(Leave::Jump) => return CallError::Jump,
        None => {}
    }
    if let Some(NoRoom { bytes }) = error.downcast_ref::<NoRoom>() {
        return CallError::OutOfMemory { bytes: *bytes };
    }
    let stderr = state.stdio.stderr_tail();
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return CallError::Exit { code: *code, stderr };
    }
    let kind = kind(error, state);
    let message = match kind {
        TrapKind::ExceededMemoryLimit => {
            let limit = state.memory.bytes_max();
            format!(
                "out of memory: a worker may use {limit} bytes; {}",
                message(error)
            )
        }
        _ if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) => {
            let limit = state.limits.resources_max;
            format!("too many resources: a worker may hold {limit} at a time")
        }
        _ if passes_too_much(error) => {
            let limit = state.limits.host_call_bytes_max;
            format!("too much passed to the host: strings and lists of one call may have {limit} bytes")
        }
        _ => message(error),
    };
    CallError::Trap {
        message,
        kind,
        stderr,
        retry_from: state.retry_from(),
    }
}

fn kind(error: &Error, state: &HostState) -> TrapKind {
    if error.is::<TooMuchTime>()
        || error.is::<LimitExceeded>()
        || matches!(error.downcast_ref(), Some(ResourceTableError::Full))
        || passes_too_much(error)
    {
        return TrapKind::LimitExceeded;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => TrapKind::StackOverflow,
        // Allocators answer a refused `memory.grow` with `unreachable`.
        Some(Trap::UnreachableCodeReached) if state.memory.has_refused() => TrapKind::ExceededMemoryLimit,
        _ => TrapKind::Other,
    }
}

fn passes_too_much(error: &Error) -> bool {
    error.root_cause().to_string().ends_with(TOO_MUCH_PASSED)
}

/// The cause, and where in the guest it happened.
fn message(error: &Error) -> String {
    let cause = error.root_cause().to_string();
    let frames: Vec<String> = error
        .downcast_ref::<WasmBacktrace>()
        .into_iter()
        .flat_map(WasmBacktrace::frames)
        .filter_map(|frame| frame.func_name().map(str::to_owned))
        .take(FRAMES_MAX)
        .collect();
    if frames.is_empty() {
        cause
    } else {
        format!("{cause} (in {})", frames.join(", called by "))
    }
}
