use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use kiln_proto::{
    ids::IdempotencyKey,
    v1::{InvocationContext, OplogEntry},
};
use tempfile::TempDir;
use wasmtime::component::ResourceTable as WasiTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::{
    Interrupter, Outside, WorkerContext, control::Control, egress::EgressPolicy, limiter::MemoryLimiter,
    resources::ResourceTable, stdio::Stdio, waits::Waits, wasi::http::Http,
};
use crate::{component::LoadedComponent, journal::Journal};

/// The call of an exported function that a guest is in.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its idempotency key, from which the keys of its effects are derived.
    pub key: IdempotencyKey,
    /// The trace that it belongs to, as its caller gave it.
    pub context: Option<InvocationContext>,
}

impl Default for Invocation {
    fn default() -> Self {
        Self {
            key: IdempotencyKey::random(),
            context: None,
        }
    }
}

/// What host functions see of the worker that calls them.
pub(crate) struct HostState {
    pub(super) journal: Journal,
    pub(super) invocation: Invocation,
    pub(super) control: Control,
    /// What the guest's pollables wait for, where that may take long.
    pub(super) waits: Waits,
    pub(super) context: Arc<WorkerContext>,
    pub(super) outside: Arc<dyn Outside>,
    pub(super) stdio: Stdio,
    /// Log lines that replay has passed over and the guest has not yet written again.
    pub(super) passed_logs: Vec<Arc<OplogEntry>>,
    pub(super) interrupter: Interrupter,
    pub(super) limiter: MemoryLimiter,
    /// Resources of the guest that callers hold handles of.
    pub(super) resources: ResourceTable,
    /// The highest monotonic time that the guest has seen, so that it never goes back, not even on another node.
    pub(super) monotonic_floor_ns: u64,
    pub(super) wasi: WasiCtx,
    /// Requests to others.
    pub(super) http: Http,
    /// Resources of the host that the guest holds: streams, pollables, descriptors.
    pub(super) table: WasiTable,
    /// Where files lie that are too large for memory.
    pub(super) scratch: PathBuf,
    /// The guest's file system; removed with the instance.
    pub(super) _folder: Option<TempDir>,
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
        let stdio = Stdio::default();
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdio.stdout()).stderr(stdio.stderr());
        super::wasi::sockets::open(&mut wasi, &component.engine().options().network.egress);
        let folder = component.scratch().map(tempfile::tempdir_in).transpose()?;
        if let Some(folder) = &folder {
            wasi.preopened_dir(folder.path(), "/", FsPerms::ReadWrite)
                .map_err(io::Error::other)?;
        }
        Ok(Self {
            journal,
            invocation: Invocation::default(),
            control: Control::new(context.retry_policy, context.failures),
            waits: Waits::default(),
            outside: context.outside.clone(),
            stdio,
            passed_logs: Vec::new(),
            interrupter: context.interrupter.clone(),
            limiter: MemoryLimiter::new(component.engine().options().memory_bytes_max),
            resources: ResourceTable::new(context.id.urn()),
            monotonic_floor_ns: 0,
            wasi: wasi.build(),
            http: Http::new(component.engine().client().clone()),
            table: WasiTable::new(),
            scratch: component
                .scratch()
                .map_or_else(std::env::temp_dir, Path::to_owned),
            _folder: folder,
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
