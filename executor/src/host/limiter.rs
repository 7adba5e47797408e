use wasmtime::ResourceLimiter;

/// Bounds a guest's linear memory and counts what it uses.
pub(crate) struct MemoryLimiter {
    bytes_max: usize,
    used: usize,
    refused: bool,
}

impl MemoryLimiter {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            used: 0,
            refused: false,
        }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Linear memory of the instance, in bytes.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// True once the guest was refused memory: a trap after that is most likely its allocator giving up.
    pub(super) fn has_refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.used.saturating_add(desired.saturating_sub(current));
        if total > self.bytes_max || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.used = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(true)
    }
}
