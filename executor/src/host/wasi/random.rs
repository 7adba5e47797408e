use wasmtime_wasi::p2::bindings::random::random::Host;

use crate::host::HostState;

impl Host for HostState {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes("golem random::get_random_bytes", length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64("golem random::get_random_u64")
    }
}
