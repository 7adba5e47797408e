use wasmtime_wasi::{I32Exit, p2::bindings::cli::exit::Host};

use crate::host::HostState;

/// Nothing is recorded: the actor writes an Exited entry when the call ends this way.
impl Host for HostState {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(I32Exit(i32::from(status.is_err())).into())
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(I32Exit(code.into()).into())
    }
}
