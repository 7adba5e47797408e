//! Calls about workers. All go to the worker's owner.

use kiln_proto::{
    Error, ErrorCode,
    ids::IdempotencyKey,
    v1::{
        CreateWorkerRequest, DeleteWorkerRequest, GetFilesRequest, GetFilesResponse, GetOplogRequest,
        GetOplogResponse, GetWorkerRequest, InterruptWorkerRequest, InvokeRequest, InvokeResponse,
        ResumeWorkerRequest, WorkerInfo, WorkerRef,
    },
};

use crate::{Client, call::Failure};

impl Client {
    /// Calls an exported function; all attempts carry one idempotency key, a fresh one when the request has none.
    ///
    /// # Errors
    /// What the server says; `UNAVAILABLE` or `DEADLINE_EXCEEDED` when the deadline passes first.
    pub async fn invoke(&self, mut request: InvokeRequest) -> Result<InvokeResponse, Error> {
        if request.idempotency_key.is_empty() {
            request.idempotency_key = IdempotencyKey::random().to_string();
        }
        let worker = request.worker.clone();
        self.call_owner(worker.as_ref(), request, |channel, request| async move {
            self.workers(channel).invoke(request).await
        })
        .await
        .map_err(|failure| failure.error)
    }

    /// Creates a worker. An attempt whose answer was lost is recognised as our own by what the worker was given.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` unless the request ignores that.
    pub async fn create_worker(&self, request: CreateWorkerRequest) -> Result<WorkerInfo, Error> {
        let worker = request.worker.clone().unwrap_or_default();
        let result = self
            .call_owner(Some(&worker), request.clone(), |channel, request| async move {
                self.workers(channel).create_worker(request).await
            })
            .await;
        match result {
            Ok(response) => response.worker.ok_or_else(|| incomplete("CreateWorker")),
            Err(Failure {
                error,
                may_be_repeated: true,
            }) if error.code == ErrorCode::AlreadyExists => {
                let existing = self.get_worker(worker).await?;
                let is_ours = existing.args == request.args
                    && existing.config == request.config
                    && request.env.iter().all(|pair| existing.env.contains(pair));
                if is_ours { Ok(existing) } else { Err(error) }
            }
            Err(failure) => Err(failure.error),
        }
    }

    /// One worker.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn get_worker(&self, worker: WorkerRef) -> Result<WorkerInfo, Error> {
        let request = GetWorkerRequest {
            worker: Some(worker.clone()),
        };
        self.call_owner(Some(&worker), request, |channel, request| async move {
            self.workers(channel).get_worker(request).await
        })
        .await
        .map_err(|failure| failure.error)?
        .worker
        .ok_or_else(|| incomplete("GetWorker"))
    }

    /// Deletes a worker with its oplog.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn delete_worker(&self, worker: WorkerRef) -> Result<(), Error> {
        let request = DeleteWorkerRequest {
            worker: Some(worker.clone()),
        };
        let result = self
            .call_owner(Some(&worker), request, |channel, request| async move {
                self.workers(channel).delete_worker(request).await
            })
            .await;
        match result {
            Ok(_) => Ok(()),
            // An earlier attempt deleted it and its answer was lost.
            Err(Failure {
                error,
                may_be_repeated: true,
            }) if error.code == ErrorCode::NotFound => Ok(()),
            Err(failure) => Err(failure.error),
        }
    }

    /// Interrupts what a worker runs; with `recover_immediately` as a crash would, so that it goes on by itself.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn interrupt_worker(&self, worker: WorkerRef, recover_immediately: bool) -> Result<(), Error> {
        let request = InterruptWorkerRequest {
            worker: Some(worker.clone()),
            recover_immediately,
        };
        self.call_owner(Some(&worker), request, |channel, request| async move {
            self.workers(channel).interrupt_worker(request).await
        })
        .await
        .map(|_| ())
        .map_err(|failure| failure.error)
    }

    /// Lets an interrupted or suspended worker go on.
    ///
    /// # Errors
    /// `NOT_FOUND`; `CONFLICT` in other states unless forced.
    pub async fn resume_worker(&self, worker: WorkerRef, force: bool) -> Result<(), Error> {
        let request = ResumeWorkerRequest {
            worker: Some(worker.clone()),
            force,
        };
        self.call_owner(Some(&worker), request, |channel, request| async move {
            self.workers(channel).resume_worker(request).await
        })
        .await
        .map(|_| ())
        .map_err(|failure| failure.error)
    }

    /// Lists a folder or reads a file of a worker.
    ///
    /// # Errors
    /// `NOT_FOUND`; `CONFLICT` while the worker waits in the middle of an invocation.
    pub async fn worker_files(&self, worker: WorkerRef, path: &str) -> Result<GetFilesResponse, Error> {
        let request = GetFilesRequest {
            worker: Some(worker.clone()),
            path: path.to_owned(),
        };
        self.call_owner(Some(&worker), request, |channel, request| async move {
            self.workers(channel).get_files(request).await
        })
        .await
        .map_err(|failure| failure.error)
    }

    /// One page of a worker's oplog.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn oplog(&self, request: GetOplogRequest) -> Result<GetOplogResponse, Error> {
        let worker = request.worker.clone();
        self.call_owner(worker.as_ref(), request, |channel, request| async move {
            self.workers(channel).get_oplog(request).await
        })
        .await
        .map_err(|failure| failure.error)
    }
}

pub(crate) fn incomplete(rpc: &str) -> Error {
    Error::internal(format!("the answer to {rpc} is incomplete"))
}
