use std::collections::HashMap;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynPollable, Pollable};

/// Pollables that guests got before they had the one to wait for: `lazy-initialized-pollable` of `golem:durability`. In a
/// replay the real one never comes into being, so the stand-in is never ready.
#[derive(Default)]
pub(crate) struct StandIns {
    /// From the pollable that the guest polls to the lazy one that it was got from.
    lazy_by_pollable: HashMap<u32, u32>,
    /// From the lazy one to what it was set to.
    real_by_lazy: HashMap<u32, u32>,
}

impl StandIns {
    /// What a pollable stands for: itself, if it is no stand-in or nothing has been set.
    pub(in crate::host) fn real(&self, pollable: &Resource<DynPollable>) -> Resource<DynPollable> {
        let lazy = self.lazy_by_pollable.get(&pollable.rep());
        let real = lazy.and_then(|lazy| self.real_by_lazy.get(lazy));
        Resource::new_borrow(*real.unwrap_or(&pollable.rep()))
    }

    pub(in crate::host) fn subscribe(&mut self, lazy: u32, pollable: &Resource<DynPollable>) {
        self.lazy_by_pollable.insert(pollable.rep(), lazy);
    }

    /// Returns what it was set to before.
    pub(in crate::host) fn set(&mut self, lazy: u32, real: u32) -> Option<u32> {
        self.real_by_lazy.insert(lazy, real)
    }

    /// Returns what it was set to.
    pub(in crate::host) fn unset(&mut self, lazy: u32) -> Option<u32> {
        self.real_by_lazy.remove(&lazy)
    }

    pub(in crate::host) fn forget(&mut self, pollable: &Resource<DynPollable>) {
        self.lazy_by_pollable.remove(&pollable.rep());
    }
}

/// Never ready.
pub(in crate::host) struct Never;

#[async_trait::async_trait]
impl Pollable for Never {
    async fn ready(&mut self) {
        std::future::pending::<()>().await;
    }
}
