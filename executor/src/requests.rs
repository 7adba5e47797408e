//! Operations that rewrite what a worker is: update, revert, cancel; and those that a fork is made of.

use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{IdempotencyKey, WorkerId},
    v1::{
        self, CompletePromise, PromiseId, shard_operation::Operation as ShardWork,
        shard_operation_reply::Reply, shard_service_client::ShardServiceClient,
    },
};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    operations::{On, client},
    route::{Operation, RemoteCall},
    shard::Owned,
    worker::{Adoption, Cancel, Message, Revert, Update},
};

/// Gives a request that names itself by no token a random one, so that its attempts are recognised as one.
pub(crate) fn named(token: &mut Bytes) {
    if token.is_empty() {
        *token = Bytes::copy_from_slice(Uuid::new_v4().as_bytes());
    }
}

impl Operation for On<v1::UpdateWorkerRequest> {
    type Reply = v1::UpdateWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::UpdateWorkerResponse, Error> {
        let message = |reply| {
            Message::Update(Update {
                version: self.request.version.into(),
                mode: self.request.mode(),
                token: self.request.token.clone(),
                reply,
            })
        };
        owned.ask(&self.worker, message).await?;
        Ok(v1::UpdateWorkerResponse {})
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::UpdateWorkerResponse>, Status> {
        client(&call)
            .update_worker(call.request((*self.request).clone()))
            .await
    }
}

impl Operation for On<v1::RevertWorkerRequest> {
    type Reply = v1::RevertWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::RevertWorkerResponse, Error> {
        let target = self.request.target;
        let target = target
            .ok_or_else(|| Error::invalid("the request says neither an index nor a number of invocations"))?;
        let message = |reply| {
            Message::Revert(Revert {
                target,
                token: self.request.token.clone(),
                reply,
            })
        };
        owned.ask(&self.worker, message).await?;
        Ok(v1::RevertWorkerResponse {})
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::RevertWorkerResponse>, Status> {
        client(&call)
            .revert_worker(call.request((*self.request).clone()))
            .await
    }
}

impl Operation for On<v1::CancelInvocationRequest> {
    type Reply = v1::CancelInvocationResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::CancelInvocationResponse, Error> {
        let key = IdempotencyKey::new(&self.request.idempotency_key)?;
        let message = |reply| {
            Message::Cancel(Cancel {
                key: key.clone(),
                reply,
            })
        };
        let cancelled = owned.ask(&self.worker, message).await?;
        Ok(v1::CancelInvocationResponse { cancelled })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::CancelInvocationResponse>, Status> {
        client(&call)
            .cancel_invocation(call.request((*self.request).clone()))
            .await
    }
}

impl Operation for On<v1::CompletePromiseRequest> {
    type Reply = v1::CompletePromiseResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::CompletePromiseResponse, Error> {
        let complete = CompletePromise {
            epoch: 0,
            promise: Some(PromiseId {
                worker_id: Some((&self.worker).into()),
                oplog_index: self.request.oplog_index,
            }),
            data: self.request.data.clone(),
            token: self.request.token.clone(),
        };
        let reply = owned
            .shard
            .operate(owned.epoch, ShardWork::CompletePromise(complete))
            .await?;
        Ok(v1::CompletePromiseResponse {
            completed: reply == Reply::Completed(true),
        })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::CompletePromiseResponse>, Status> {
        client(&call)
            .complete_promise(call.request((*self.request).clone()))
            .await
    }
}

/// Commits what a worker's actor holds back, and reads its record.
pub(crate) struct Flush(pub(crate) v1::FlushWorkerRequest);

impl Operation for Flush {
    type Reply = v1::FlushWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::FlushWorkerResponse, Error> {
        let worker = named_worker(self.0.worker.as_ref())?;
        let record = owned.ask(&worker, |reply| Message::Flush { reply }).await?;
        Ok(v1::FlushWorkerResponse { record: Some(record) })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::FlushWorkerResponse>, Status> {
        ShardServiceClient::new(call.channel.clone())
            .max_decoding_message_size(call.message_bytes_max)
            .flush_worker(call.request(self.0.clone()))
            .await
    }
}

/// Publishes a staged worker.
pub(crate) struct Adopt(pub(crate) v1::AdoptWorkerRequest);

impl Operation for Adopt {
    type Reply = v1::AdoptWorkerResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::AdoptWorkerResponse, Error> {
        let worker = named_worker(self.0.worker.as_ref())?;
        let message = |reply| Message::Adopt {
            adoption: Adoption {
                token: self.0.token.clone(),
                fork_token: self.0.fork_token.clone(),
            },
            reply,
        };
        owned.ask(&worker, message).await?;
        Ok(v1::AdoptWorkerResponse {})
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::AdoptWorkerResponse>, Status> {
        ShardServiceClient::new(call.channel.clone())
            .adopt_worker(call.request(self.0.clone()))
            .await
    }
}

pub(crate) fn named_worker(worker: Option<&v1::WorkerId>) -> Result<WorkerId, Error> {
    WorkerId::try_from(worker.ok_or_else(|| Error::invalid("the request names no worker"))?)
}
