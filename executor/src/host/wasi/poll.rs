use kiln_proto::v1::{Value, ValueList, value::Kind};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_io::bindings::wasi::io::poll::{Host, HostPollable};

use crate::host::{
    HostState,
    payload::{NOTHING, request, u64_value},
};
use crate::replay::Kind as CallKind;

/// Which pollables were ready is recorded, since it depends on time. On replay the guest gets the recorded answer once
/// those pollables are ready again: deadlines have passed by then, and what is not recorded runs again in any case.
impl Host for HostState {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let pollables: Vec<_> = pollables.iter().map(|given| self.stand_ins.real(given)).collect();
        const NAME: &str = "golem io::poll::poll";
        let request = request(u64_value(pollables.len() as u64));
        if let Some(recorded) = self.recorded(NAME, &request)? {
            let ready = indices_of(&recorded);
            for pollable in ready
                .iter()
                .filter_map(|at| pollables.get(usize::try_from(*at).ok()?))
            {
                self.catch_up(pollable).await?;
            }
            return Ok(ready);
        }
        self.resume_polled(pollables.iter().map(Resource::rep)).await?;
        self.suspend_if_long(&pollables).await?;
        let ready = self.table.poll(pollables).await?;
        let values = ready
            .iter()
            .map(|at| Value {
                kind: Some(Kind::U32Value(*at)),
            })
            .collect();
        self.record(
            NAME,
            CallKind::ReadLocal,
            request,
            Value {
                kind: Some(Kind::List(ValueList { values })),
            },
        );
        Ok(ready)
    }
}

impl HostPollable for HostState {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let pollable = self.stand_ins.real(&pollable);
        const NAME: &str = "golem io::poll::ready";
        if let Some(recorded) = self.recorded(NAME, &NOTHING)? {
            let ready = recorded.kind == Some(Kind::BoolValue(true));
            if ready {
                self.catch_up(&pollable).await?;
            }
            return Ok(ready);
        }
        self.resume_polled([pollable.rep()].into_iter()).await?;
        let ready = self.table.ready(pollable).await?;
        self.record(
            NAME,
            CallKind::ReadLocal,
            NOTHING,
            Value {
                kind: Some(Kind::BoolValue(ready)),
            },
        );
        Ok(ready)
    }

    /// Has no result, so there is nothing to record.
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let pollable = self.stand_ins.real(&pollable);
        if self.journal.is_live() {
            self.record_logs();
            self.resume_polled([pollable.rep()].into_iter()).await?;
            self.suspend_if_long(std::slice::from_ref(&pollable)).await?;
        } else if self.http.is_pollable(pollable.rep()) {
            return Ok(());
        }
        self.table.block(pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.waits.forget(&pollable);
        self.stand_ins.forget(&pollable);
        self.http.forget_pollable(pollable.rep());
        HostPollable::drop(&mut self.table, pollable)
    }
}

impl HostState {
    /// Waits until what was ready is ready again. What came by the network is not asked for again.
    async fn catch_up(&mut self, pollable: &Resource<DynPollable>) -> wasmtime::Result<()> {
        if self.http.is_pollable(pollable.rep()) {
            return Ok(());
        }
        self.table.block(Resource::new_borrow(pollable.rep())).await
    }
}

fn indices_of(value: &Value) -> Vec<u32> {
    let Some(Kind::List(list)) = &value.kind else {
        return Vec::new();
    };
    let index = |value: &Value| match value.kind {
        Some(Kind::U32Value(at)) => Some(at),
        _ => None,
    };
    list.values.iter().filter_map(index).collect()
}
