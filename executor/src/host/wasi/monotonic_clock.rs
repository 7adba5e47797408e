use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynPollable, Pollable,
    bindings::clocks::monotonic_clock::{Duration as Nanoseconds, Host, Instant},
    subscribe,
};

use crate::host::{
    HostState,
    payload::{NOTHING, request, u64_of, u64_value},
    waits::Awaited,
};

impl Host for HostState {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        let response = self.read_local("monotonic_clock::now", NOTHING, |state| {
            u64_value(state.monotonic_ns())
        })?;
        Ok(self.saw_monotonic(u64_of(&response)))
    }

    fn resolution(&mut self) -> wasmtime::Result<Instant> {
        let response = self.read_local("monotonic_clock::resolution", NOTHING, |_| u64_value(1))?;
        Ok(u64_of(&response))
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_deadline(when)
    }

    /// The moment of the subscription is recorded, so that a deadline stays where it is when the worker is loaded again.
    fn subscribe_duration(&mut self, duration: Nanoseconds) -> wasmtime::Result<Resource<DynPollable>> {
        let request = request(u64_value(duration));
        let response = self.read_local("monotonic_clock::subscribe_duration", request, |state| {
            u64_value(state.monotonic_ns())
        })?;
        let subscribed = self.saw_monotonic(u64_of(&response));
        self.subscribe_deadline(subscribed.saturating_add(duration))
    }
}

impl HostState {
    fn monotonic_ns(&self) -> u64 {
        self.outside.monotonic_ns().max(self.monotonic_floor_ns)
    }

    fn saw_monotonic(&mut self, now_ns: u64) -> u64 {
        self.monotonic_floor_ns = self.monotonic_floor_ns.max(now_ns);
        now_ns
    }

    fn subscribe_deadline(&mut self, when_ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let left = Duration::from_nanos(when_ns.saturating_sub(self.outside.monotonic_ns()));
        let at = (!left.is_zero()).then(|| tokio::time::Instant::now().checked_add(left));
        let deadline = match at {
            None => Deadline::Past { has_yielded: false },
            Some(Some(at)) => Deadline::At(at),
            Some(None) => Deadline::Never,
        };
        let deadline = self.table.push(deadline)?;
        let pollable = subscribe(&mut self.table, deadline)?;
        self.waits.note(&pollable, Awaited::Deadline(when_ns));
        Ok(pollable)
    }
}

/// A moment to wait for.
enum Deadline {
    /// Yields once, so that a guest which polls in a loop lets the runtime's other work happen.
    Past {
        has_yielded: bool,
    },
    At(tokio::time::Instant),
    /// Further away than this machine's clock can count.
    Never,
}

#[async_trait::async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        match self {
            Self::Past { has_yielded: true } => {}
            Self::Past { has_yielded } => {
                *has_yielded = true;
                tokio::task::yield_now().await;
            }
            Self::At(at) => tokio::time::sleep_until(*at).await,
            Self::Never => std::future::pending().await,
        }
    }
}
