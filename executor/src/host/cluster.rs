use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{ComponentId, ComponentVersion, OplogIndex, WorkerId},
    v1::{
        ExportedFunctionInvokedEntry, GetOplogResponse, OplogEntry, PromiseId, UpdateMode, Value,
        WorkerRecord, revert_worker_request::Target as RevertTarget,
    },
};
use uuid::Uuid;

use super::Callees;
use crate::enumerate::filter::Filter;

/// What the host asks of the cluster on behalf of a guest. Each call waits for owners that are being replaced, within the
/// limits of the node, and fails with a retryable error after that.
#[async_trait::async_trait]
pub trait Cluster: Callees + Send + Sync + 'static {
    /// Gives a promise its value, unless it has one. True when this very call, as its token names it, has set the value, now
    /// or before.
    ///
    /// # Errors
    /// `NOT_FOUND` without such a promise.
    async fn complete_promise(&self, promise: &PromiseId, data: Bytes, token: Uuid) -> Result<bool, Error>;

    /// The value of a promise, if it has one. With a waiter, that worker is woken when the promise gets its value.
    ///
    /// # Errors
    /// `NOT_FOUND` without such a promise.
    async fn promise(&self, promise: &PromiseId, waiter: Option<&WorkerId>) -> Result<Option<Bytes>, Error>;

    /// Forgets a promise.
    ///
    /// # Errors
    /// When its shard cannot be reached.
    async fn delete_promise(&self, promise: &PromiseId) -> Result<(), Error>;

    /// Lets a suspended worker go on; one that runs will not stay suspended the next time.
    ///
    /// # Errors
    /// When its shard cannot be reached.
    async fn wake(&self, worker: &WorkerId) -> Result<(), Error>;

    /// Queues an invocation under the key in `call`; returns when it is durably queued. The worker is made if need be.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID`, or when its shard cannot be reached.
    async fn enqueue(&self, worker: &WorkerId, call: ExportedFunctionInvokedEntry) -> Result<(), Error>;

    /// Makes a call under the key in `call` and waits for its result. The worker is made if need be.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID`, how the worker failed, or when its shard cannot be reached.
    async fn run(
        &self,
        worker: &WorkerId,
        call: ExportedFunctionInvokedEntry,
    ) -> Result<Option<Value>, Error>;

    /// What a worker's oplog amounts to, as of now; `None` when it does not exist.
    ///
    /// # Errors
    /// When its shard cannot be reached.
    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, Error>;

    /// A page of a component's workers.
    ///
    /// # Errors
    /// `INVALID` for a filter that is too large or a cursor that is none, or when a shard cannot be reached.
    async fn list_workers(&self, query: WorkersQuery) -> Result<WorkersPage, Error>;

    /// A page of a worker's oplog from an index on, only of entries that a query finds; `None` when there is no such worker.
    ///
    /// # Errors
    /// When its shard cannot be reached.
    async fn oplog(
        &self,
        worker: &WorkerId,
        from: OplogIndex,
        query: &str,
    ) -> Result<Option<GetOplogResponse>, Error>;

    /// Moves a worker to another version of its component; returns when that is durably queued. Counts once for a token.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CONFLICT` for an update that makes no sense now, or when its shard cannot be reached.
    async fn update_worker(
        &self,
        worker: &WorkerId,
        version: ComponentVersion,
        mode: UpdateMode,
        token: Uuid,
    ) -> Result<(), Error>;

    /// Makes a new worker of the entries of `source` up to `cutoff`, and of `last` behind them. Counts once for a token.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ALREADY_EXISTS`, `INVALID` for the cutoff, or when a shard cannot be reached.
    async fn fork_worker(
        &self,
        source: &WorkerId,
        target: &WorkerId,
        cutoff: OplogIndex,
        last: Vec<OplogEntry>,
        token: Uuid,
    ) -> Result<(), Error>;

    /// Takes a worker back to an earlier point. Counts once for a token.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID` for a point that does not exist, or when its shard cannot be reached.
    async fn revert_worker(&self, worker: &WorkerId, target: RevertTarget, token: Uuid) -> Result<(), Error>;

    /// The component of that name.
    ///
    /// # Errors
    /// When no manager answers.
    async fn component(&self, reference: &str) -> Result<Option<ComponentId>, Error>;

    /// Whether the latest version of a component exports such a function.
    ///
    /// # Errors
    /// `NOT_FOUND` without such a component, or when its code cannot be had.
    async fn has_function(&self, component: ComponentId, function: &str) -> Result<bool, Error>;
}

/// Which workers a guest asks for.
#[derive(Debug, Clone)]
pub struct WorkersQuery {
    /// Of which component.
    pub component: ComponentId,
    /// What they must be like.
    pub filter: Filter,
    /// As of now, not of a moment ago.
    pub is_precise: bool,
    /// Where the page before ended; empty at the beginning.
    pub cursor: String,
    /// Most workers on the page.
    pub limit: usize,
}

/// A page of workers.
#[derive(Debug, Clone, Default)]
pub struct WorkersPage {
    /// What is known of each.
    pub workers: Vec<WorkerRecord>,
    /// Where the next page begins; empty after the last one.
    pub cursor: String,
}

/// No cluster at all: a component that is run by itself, as tests of the host do.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCluster;

impl NoCluster {
    pub(super) fn refuse<T>() -> Result<T, Error> {
        Err(Error::conflict("the worker runs outside of a cluster"))
    }
}

#[async_trait::async_trait]
impl Cluster for NoCluster {
    async fn complete_promise(&self, _: &PromiseId, _: Bytes, _: Uuid) -> Result<bool, Error> {
        Self::refuse()
    }

    async fn promise(&self, _: &PromiseId, _: Option<&WorkerId>) -> Result<Option<Bytes>, Error> {
        Self::refuse()
    }

    async fn delete_promise(&self, _: &PromiseId) -> Result<(), Error> {
        Self::refuse()
    }

    async fn wake(&self, _: &WorkerId) -> Result<(), Error> {
        Self::refuse()
    }

    async fn enqueue(&self, _: &WorkerId, _: ExportedFunctionInvokedEntry) -> Result<(), Error> {
        Self::refuse()
    }

    async fn run(&self, _: &WorkerId, _: ExportedFunctionInvokedEntry) -> Result<Option<Value>, Error> {
        Self::refuse()
    }

    async fn worker(&self, _: &WorkerId) -> Result<Option<WorkerRecord>, Error> {
        Self::refuse()
    }

    async fn list_workers(&self, _: WorkersQuery) -> Result<WorkersPage, Error> {
        Self::refuse()
    }

    async fn oplog(&self, _: &WorkerId, _: OplogIndex, _: &str) -> Result<Option<GetOplogResponse>, Error> {
        Self::refuse()
    }

    async fn update_worker(
        &self,
        _: &WorkerId,
        _: ComponentVersion,
        _: UpdateMode,
        _: Uuid,
    ) -> Result<(), Error> {
        Self::refuse()
    }

    async fn fork_worker(
        &self,
        _: &WorkerId,
        _: &WorkerId,
        _: OplogIndex,
        _: Vec<OplogEntry>,
        _: Uuid,
    ) -> Result<(), Error> {
        Self::refuse()
    }

    async fn revert_worker(&self, _: &WorkerId, _: RevertTarget, _: Uuid) -> Result<(), Error> {
        Self::refuse()
    }

    async fn component(&self, _: &str) -> Result<Option<ComponentId>, Error> {
        Self::refuse()
    }

    async fn has_function(&self, _: ComponentId, _: &str) -> Result<bool, Error> {
        Self::refuse()
    }
}
