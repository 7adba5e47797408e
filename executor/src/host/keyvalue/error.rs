use wasmtime::component::Resource;

use super::bindings::wasi::keyvalue::wasi_keyvalue_error::{Host, HostError};
use crate::host::HostState;

/// Why an operation on keys failed.
pub struct KeyError {
    text: String,
}

/// What operations on keys give to the guest.
pub(super) type Outcome<T> = Result<T, Resource<KeyError>>;

impl Host for HostState {}

impl HostError for HostState {
    async fn trace(&mut self, error: Resource<KeyError>) -> wasmtime::Result<String> {
        Ok(self.table.get(&error)?.text.clone())
    }

    async fn drop(&mut self, error: Resource<KeyError>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}

impl HostState {
    /// Makes an error resource of an error text.
    pub(super) fn key_outcome<T>(&mut self, outcome: Result<T, String>) -> wasmtime::Result<Outcome<T>> {
        Ok(match outcome {
            Ok(value) => Ok(value),
            Err(text) => Err(self.table.push(KeyError { text })?),
        })
    }
}
