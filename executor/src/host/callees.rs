use kiln_proto::{
    Error,
    ids::WorkerId,
    v1::{InvocationContext, Value},
};
use uuid::Uuid;

/// A call of another worker's function, as a guest makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestCall {
    /// The worker that is called.
    pub worker: WorkerId,
    /// The function as the guest names it.
    pub function: String,
    /// One `wit-value` an argument: their types are known where the callee's component is loaded.
    pub arguments: Vec<Value>,
    /// Names the call, so that it is made once however often it is sent.
    pub key: Uuid,
    /// The spans that it stands in.
    pub context: Option<InvocationContext>,
}

/// A call that is to be made at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledCall {
    /// The worker that is to be called.
    pub worker: WorkerId,
    /// The call's key.
    pub key: Uuid,
    /// Nanoseconds since the Unix epoch.
    pub due_ns: u64,
}

/// What a worker gets from the one that makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heritage {
    /// The worker that makes it.
    pub parent: WorkerId,
    /// Arguments.
    pub args: Vec<String>,
    /// Environment variables; those that say who a worker is are replaced.
    pub env: Vec<(String, String)>,
    /// Configuration variables.
    pub config: Vec<(String, String)>,
}

/// The workers that a guest calls. All of it may be repeated: a call counts once by its key. Each waits for owners that are
/// being replaced, within the limits of the node, and fails with a retryable error after that.
#[async_trait::async_trait]
pub trait Callees: Send + Sync + 'static {
    /// Makes a worker, unless it exists.
    ///
    /// # Errors
    /// `NOT_FOUND` without such a component, or when its shard cannot be reached.
    async fn create(&self, worker: &WorkerId, heritage: &Heritage) -> Result<(), Error>;

    /// Makes a call and waits for its result, however long it takes. The worker is made if need be.
    ///
    /// # Errors
    /// `NOT_FOUND` without such a component; `INVALID` when the function or an argument does not fit; how the callee
    /// failed; or when its shard cannot be reached.
    async fn call(&self, call: &GuestCall) -> Result<Option<Value>, Error>;

    /// Queues a call; returns when it is durably queued.
    ///
    /// # Errors
    /// As [`Callees::call`], but for how the callee fails.
    async fn send(&self, call: &GuestCall) -> Result<(), Error>;

    /// Has a call made at a time, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the worker's shard cannot be reached.
    async fn schedule(&self, call: &GuestCall, due_ns: u64) -> Result<(), Error>;

    /// Forgets a scheduled call, unless it has been made.
    ///
    /// # Errors
    /// When the worker's shard cannot be reached.
    async fn cancel(&self, scheduled: &ScheduledCall) -> Result<(), Error>;
}

#[async_trait::async_trait]
impl Callees for super::NoCluster {
    async fn create(&self, _: &WorkerId, _: &Heritage) -> Result<(), Error> {
        Self::refuse()
    }

    async fn call(&self, _: &GuestCall) -> Result<Option<Value>, Error> {
        Self::refuse()
    }

    async fn send(&self, _: &GuestCall) -> Result<(), Error> {
        Self::refuse()
    }

    async fn schedule(&self, _: &GuestCall, _: u64) -> Result<(), Error> {
        Self::refuse()
    }

    async fn cancel(&self, _: &ScheduledCall) -> Result<(), Error> {
        Self::refuse()
    }
}
