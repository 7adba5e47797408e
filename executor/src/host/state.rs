use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_proto::{
    ids::IdempotencyKey,
    v1::{InvocationContext, OplogEntry},
};
use wasmtime::component::ResourceTable as WasiTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::{
    GuestLimits, Interrupter, Outside, WorkerContext,
    control::Control,
    egress::EgressPolicy,
    golem::PendingCall,
    limiter::Memory,
    processor::Processor,
    resources::ResourceTable,
    spans::Spans,
    stand_in::StandIns,
    stdio::Stdio,
    waits::Waits,
    wasi::{filesystem::Folder, http::Http},
};
use crate::{component::LoadedComponent, journal::Journal};

/// The call of an exported function that a guest is in.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its idempotency key, from which the keys of its effects are derived.
    pub key: IdempotencyKey,
    /// The function, by its full name.
    pub function: String,
    /// When it began, in nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// The trace that it belongs to, as its caller gave it.
    pub context: Option<InvocationContext>,
}

impl Default for Invocation {
    fn default() -> Self {
        Self {
            key: IdempotencyKey::random(),
            function: String::new(),
            started_ns: 0,
            context: None,
        }
    }
}

/// What host functions see of the worker that calls them.
pub(crate) struct HostState {
    pub(super) journal: Journal,
    pub(super) invocation: Invocation,
    /// Its spans, once they are asked for.
    pub(super) spans: Option<Spans>,
    /// Outgoing requests carry the trace on.
    pub(super) forwards_trace: bool,
    pub(super) control: Control,
    /// What the guest's pollables wait for, where that may take long.
    pub(super) waits: Waits,
    /// Pollables that stand for others, which the guest makes later.
    pub(super) stand_ins: StandIns,
    pub(super) context: Arc<WorkerContext>,
    pub(super) outside: Arc<dyn Outside>,
    pub(super) stdio: Stdio,
    /// Log lines that replay has passed over and the guest has not yet written again.
    pub(super) passed_logs: Vec<Arc<OplogEntry>>,
    pub(super) interrupter: Interrupter,
    pub(super) memory: Memory,
    pub(super) processor: Processor,
    pub(super) limits: GuestLimits,
    /// Resources of the guest that callers hold handles of.
    pub(super) resources: ResourceTable,
    /// Calls of other workers that are under way although the guest has let go of them.
    pub(super) unawaited: Vec<Arc<PendingCall>>,
    /// The highest monotonic time that the guest has seen, so that it never goes back, not even on another node.
    pub(super) monotonic_floor_ns: u64,
    pub(super) wasi: WasiCtx,
    /// Requests to others.
    pub(super) http: Http,
    /// Resources of the host that the guest holds: streams, pollables, descriptors.
    pub(super) table: WasiTable,
    /// Where files lie that are too large for memory.
    pub(super) scratch: PathBuf,
    /// The guest's files.
    pub(super) folder: Folder,
}

impl HostState {
    /// Where the guest may connect to.
    pub(super) fn egress(&self) -> &EgressPolicy {
        self.http.egress()
    }

    /// Prepares a worker's surroundings.
    pub(super) fn new(
        component: &LoadedComponent,
        context: WorkerContext,
        journal: Journal,
    ) -> io::Result<Self> {
        let stdio = Stdio::new(journal.clone(), component.engine().options().guest.log_bytes_max);
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdio.stdout()).stderr(stdio.stderr());
        let options = component.engine().options();
        super::wasi::sockets::open(&mut wasi, &options.network.egress);
        let mut folder = Folder::new(component.scratch(), &options.guest)?;
        folder.mount(&context.files)?;
        folder.preopen(&mut wasi)?;
        let mut table = WasiTable::new();
        table.set_max_capacity(options.guest.resources_max);
        Ok(Self {
            journal,
            invocation: Invocation::default(),
            spans: None,
            forwards_trace: true,
            control: Control::new(context.retry_policy, context.failures),
            waits: Waits::default(),
            stand_ins: StandIns::default(),
            outside: context.outside.clone(),
            stdio,
            passed_logs: Vec::new(),
            interrupter: context.interrupter.clone(),
            memory: Memory::new(options.memory_bytes_max, context.room.clone()),
            processor: Processor::default(),
            limits: options.guest.clone(),
            resources: ResourceTable::new(context.id.urn()),
            unawaited: Vec::new(),
            monotonic_floor_ns: 0,
            wasi: wasi.build(),
            http: Http::new(component.engine().client().clone(), &context.application),
            scratch: component
                .scratch()
                .map_or_else(std::env::temp_dir, Path::to_owned),
            table,
            folder,
            context: Arc::new(context),
        })
    }

    /// A call has ended: what the guest wrote is recorded, and earlier lines are no longer expected again.
    pub(super) fn end_output(&mut self) {
        self.stdio.end_lines();
        self.record_logs();
        if self.journal.is_live() {
            self.passed_logs.clear();
        }
    }

    /// A call has returned.
    pub(super) fn end_invocation(&mut self) {
        self.end_output();
        self.control.end_invocation();
    }

    /// Where a failed attempt starts again.
    pub(super) fn retry_from(&self) -> kiln_proto::ids::OplogIndex {
        self.control.retry_from(self.journal.current_index())
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http.ctx,
            table: &mut self.table,
            hooks: &mut self.http.hooks,
        }
    }
}
