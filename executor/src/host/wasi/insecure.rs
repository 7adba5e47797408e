use wasmtime_wasi::p2::bindings::random::insecure::Host;

use crate::host::HostState;

/// As good as the secure source, which is fast enough.
impl Host for HostState {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes("golem random::insecure::get_insecure_random_bytes", length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64("golem random::insecure::get_insecure_random_u64")
    }
}
