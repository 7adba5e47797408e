//! Calls that rewrite what a worker is. Each carries a token, so that all its attempts count as one.

use bytes::Bytes;
use kiln_proto::{
    Error,
    v1::{
        CancelInvocationRequest, CompletePromiseRequest, ForkWorkerRequest, RevertWorkerRequest,
        UpdateWorkerRequest,
    },
};
use uuid::Uuid;

use crate::Client;

impl Client {
    /// Moves a worker to another version of its component. Returns when the update is durably queued.
    ///
    /// # Errors
    /// `NOT_FOUND`; `CONFLICT` for one that makes no sense now.
    pub async fn update_worker(&self, mut request: UpdateWorkerRequest) -> Result<(), Error> {
        name(&mut request.token);
        let worker = request.worker.clone();
        self.call_owner(worker.as_ref(), request, |channel, request| async move {
            self.workers(channel).update_worker(request).await
        })
        .await
        .map(|_| ())
        .map_err(|failure| failure.error)
    }

    /// Takes a worker back to an earlier point of its oplog.
    ///
    /// # Errors
    /// `NOT_FOUND`; `INVALID` for a point that does not exist.
    pub async fn revert_worker(&self, mut request: RevertWorkerRequest) -> Result<(), Error> {
        name(&mut request.token);
        let worker = request.worker.clone();
        self.call_owner(worker.as_ref(), request, |channel, request| async move {
            self.workers(channel).revert_worker(request).await
        })
        .await
        .map(|_| ())
        .map_err(|failure| failure.error)
    }

    /// Makes a new worker from the beginning of another one's oplog.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ALREADY_EXISTS`; `INVALID` for a cutoff that makes no sense.
    pub async fn fork_worker(&self, mut request: ForkWorkerRequest) -> Result<(), Error> {
        name(&mut request.token);
        let worker = request.source.clone();
        self.call_owner(worker.as_ref(), request, |channel, request| async move {
            self.workers(channel).fork_worker(request).await
        })
        .await
        .map(|_| ())
        .map_err(|failure| failure.error)
    }

    /// Cancels an invocation that waits for its turn; false when it runs or has ended.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown worker or key.
    pub async fn cancel_invocation(&self, request: CancelInvocationRequest) -> Result<bool, Error> {
        let worker = request.worker.clone();
        self.call_owner(worker.as_ref(), request, |channel, request| async move {
            self.workers(channel).cancel_invocation(request).await
        })
        .await
        .map(|response| response.cancelled)
        .map_err(|failure| failure.error)
    }

    /// Gives a promise its value; false when it has one.
    ///
    /// # Errors
    /// `NOT_FOUND` without such a promise.
    pub async fn complete_promise(&self, mut request: CompletePromiseRequest) -> Result<bool, Error> {
        name(&mut request.token);
        let worker = request.worker.clone();
        self.call_owner(worker.as_ref(), request, |channel, request| async move {
            self.workers(channel).complete_promise(request).await
        })
        .await
        .map(|response| response.completed)
        .map_err(|failure| failure.error)
    }
}

fn name(token: &mut Bytes) {
    if token.is_empty() {
        *token = Bytes::copy_from_slice(Uuid::new_v4().as_bytes());
    }
}
