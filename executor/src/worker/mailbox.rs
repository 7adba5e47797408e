use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{ComponentVersion, IdempotencyKey},
    v1::{self, UpdateMode, WorkerRecord, revert_worker_request::Target},
};
use tokio::sync::oneshot;

/// Where the answer to a message goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What can be asked of a worker's actor. Messages are handled in the order in which they came.
pub(crate) enum Message {
    /// Call an exported function.
    Invoke(Invoke),
    /// Create the worker explicitly.
    Create(Create),
    /// Stop what runs; or, as a crash would, drop the instance and replay.
    Interrupt {
        recover_immediately: bool,
        reply: Reply<()>,
    },
    /// Go on with what was interrupted or suspended.
    Resume { force: bool, reply: Reply<()> },
    /// Look into the worker's folder, between two invocations.
    Files(Files),
    /// Move to another version of the component.
    Update(Update),
    /// Go back to an earlier point of the oplog.
    Revert(Revert),
    /// Forget an invocation that waits for its turn; false when it is too late for that.
    Cancel(Cancel),
    /// Commit what was appended so far.
    Flush { reply: Reply<WorkerRecord> },
    /// Become what was staged.
    Adopt { adoption: Adoption, reply: Reply<()> },
    /// Forget the worker.
    Delete { reply: Reply<()> },
    /// Go on with unfinished work after a change of owner.
    Recover { reply: Reply<()> },
    /// Go on: what a suspended worker waited for may have come.
    Wake,
    /// Leave memory if nothing is to do.
    Evict,
}

/// What a worker is to be made of.
pub(crate) struct Adoption {
    /// Under which the entries are staged; every attempt at a fork has one of its own, so that two never mix theirs.
    pub(crate) token: Bytes,
    /// Names the fork.
    pub(crate) fork_token: Bytes,
}

/// A call of an exported function.
pub(crate) struct Invoke {
    pub(crate) request: Arc<v1::InvokeRequest>,
    pub(crate) key: IdempotencyKey,
    /// Nobody can have used the key before, so that it need not be looked up.
    pub(crate) key_is_fresh: bool,
    pub(crate) reply: Reply<Answer>,
}

/// A look into a worker's folder.
pub(crate) struct Files {
    pub(crate) path: String,
    pub(crate) reply: Reply<v1::GetFilesResponse>,
}

/// A request for an update.
pub(crate) struct Update {
    pub(crate) version: ComponentVersion,
    pub(crate) mode: UpdateMode,
    /// Names the request, so that it counts once also when it is repeated.
    pub(crate) token: Bytes,
    pub(crate) reply: Reply<()>,
}

/// A request to go back.
pub(crate) struct Revert {
    pub(crate) target: Target,
    /// Names the request, so that it counts once also when it is repeated.
    pub(crate) token: Bytes,
    pub(crate) reply: Reply<()>,
}

/// A request to cancel an invocation.
pub(crate) struct Cancel {
    pub(crate) key: IdempotencyKey,
    pub(crate) reply: Reply<bool>,
}

/// An explicit creation.
pub(crate) struct Create {
    pub(crate) request: Arc<v1::CreateWorkerRequest>,
    pub(crate) reply: Reply<WorkerRecord>,
}

/// How an invocation ended well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) result: Option<v1::Value>,
    /// The result was recorded by an earlier call with the same key.
    pub(crate) replayed: bool,
}
