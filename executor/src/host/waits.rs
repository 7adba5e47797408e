use std::{collections::HashMap, time::Duration};

use kiln_proto::v1::PromiseId;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;

use super::{HostState, Wait, leave::Leave};

/// What the guest's pollables stand for, where that may be far away: moments and promises.
#[derive(Default)]
pub(crate) struct Waits {
    by_pollable: HashMap<u32, Awaited>,
}

/// What a pollable waits for.
#[derive(Debug, Clone)]
pub(in crate::host) enum Awaited {
    /// A moment of the monotonic clock, in nanoseconds.
    Deadline(u64),
    /// A promise of this worker.
    Promise(PromiseId),
}

impl Waits {
    pub(in crate::host) fn note(&mut self, pollable: &Resource<DynPollable>, awaited: Awaited) {
        self.by_pollable.insert(pollable.rep(), awaited);
    }

    pub(in crate::host) fn forget(&mut self, pollable: &Resource<DynPollable>) {
        self.by_pollable.remove(&pollable.rep());
    }

    /// What a guest waits for that polls these; `None` when one of them is something else, such as I/O.
    fn of(&self, pollables: &[Resource<DynPollable>]) -> Option<Vec<&Awaited>> {
        pollables
            .iter()
            .map(|pollable| self.by_pollable.get(&pollable.rep()))
            .collect()
    }
}

impl HostState {
    /// Leaves the instance when what the guest is about to wait for may take long and can be waited for without it.
    ///
    /// # Errors
    /// The end of the guest's stay in memory.
    pub(in crate::host) async fn suspend_if_long(
        &mut self,
        pollables: &[Resource<DynPollable>],
    ) -> wasmtime::Result<()> {
        let Some(awaited) = self.waits.of(pollables) else {
            return Ok(());
        };
        let now_ns = self.outside.monotonic_ns();
        let mut wait = Wait::default();
        let mut nearest: Option<u64> = None;
        for awaited in awaited {
            match awaited {
                Awaited::Deadline(at_ns) => nearest = Some(nearest.map_or(*at_ns, |other| other.min(*at_ns))),
                Awaited::Promise(promise) => wait.promises.push(promise.clone()),
            }
        }
        let left = nearest.map(|at_ns| Duration::from_nanos(at_ns.saturating_sub(now_ns)));
        if left.is_some_and(|left| left <= self.context.suspend_after) {
            return Ok(());
        }
        let cluster = self.context.cluster.clone();
        for promise in &wait.promises {
            if cluster.promise(promise, None).await?.is_some() {
                return Ok(());
            }
        }
        wait.until_ns = left.map(|left| self.wall_ns_after(left));
        Err(Leave::Suspend(wait).into())
    }

    /// Nanoseconds since the Unix epoch, a while from now.
    fn wall_ns_after(&self, while_from_now: Duration) -> u64 {
        let at = self.outside.wall_clock().saturating_add(while_from_now);
        u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
    }
}
