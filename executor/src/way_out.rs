//! From a worker to others: the cluster as the host of a guest sees it.
//!
//! * `callees` – workers that a guest calls

mod callees;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use kiln_proto::{
    Error, ErrorCode,
    ids::{ComponentId, ComponentVersion, OplogIndex, ShardId, WorkerId},
    v1::{
        self, AwaitPromise, CompletePromise, DeletePromise, ExportedFunctionInvokedEntry, OplogEntry,
        PromiseId, UpdateMode, WakeWorker, WorkerRecord, revert_worker_request::Target as RevertTarget,
        shard_operation::Operation as ShardWork, shard_operation_reply::Reply,
        shard_service_client::ShardServiceClient,
    },
};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    edge::Api,
    enumerate::Query,
    fork::Fork,
    host::{Cluster, WorkersPage, WorkersQuery},
    operations::On,
    route::{Operation, Patience, RemoteCall},
    shard::Owned,
};

/// How long a guest's question to the cluster may take before its worker tries again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The cluster behind this node's router.
pub(crate) struct WayOut {
    /// Weak, since the shards that hold workers that hold this are part of it.
    api: Weak<Api>,
}

impl WayOut {
    pub(crate) fn new(api: &Arc<Api>) -> Self {
        Self {
            api: Arc::downgrade(api),
        }
    }

    fn api(&self) -> Result<Arc<Api>, Error> {
        self.api
            .upgrade()
            .ok_or_else(|| Error::unavailable("the node is stopping"))
    }

    async fn operate(&self, worker: &WorkerId, operation: ShardWork) -> Result<Reply, Error> {
        let api = self.api()?;
        let shard = api.router.shard_of(worker)?;
        operate(&api, shard, operation).await
    }
}

impl WayOut {
    /// Asks the owner of a worker.
    async fn on_worker<T>(&self, worker: &WorkerId, request: T) -> Result<<On<T> as Operation>::Reply, Error>
    where
        T: Send + Sync + 'static,
        On<T>: Operation,
    {
        let api = self.api()?;
        let shard = api.router.shard_of(worker)?;
        api.router
            .route(
                shard,
                Patience::of(Some(PATIENCE)),
                On::new(worker.clone(), request),
            )
            .await
    }
}

/// Carries out an operation at the owner of a shard.
async fn operate(api: &Api, shard: ShardId, operation: ShardWork) -> Result<Reply, Error> {
    let request = v1::OperateShardRequest {
        shard: shard.0,
        operation: Some(v1::ShardOperation {
            operation: Some(operation),
        }),
    };
    let patience = Patience::of(Some(PATIENCE));
    let response = api
        .router
        .route(shard, patience, Arc::new(OperateShard(request)))
        .await?;
    response
        .reply
        .and_then(|reply| reply.reply)
        .ok_or_else(|| Error::internal("a shard's answer is empty"))
}

/// An operation on what a shard keeps. Each is harmless when it is repeated.
pub(crate) struct OperateShard(pub(crate) v1::OperateShardRequest);

impl Operation for OperateShard {
    type Reply = v1::OperateShardResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::OperateShardResponse, Error> {
        let operation = self.0.operation.clone().and_then(|operation| operation.operation);
        let operation = operation.ok_or_else(|| Error::invalid("the request names no operation"))?;
        let reply = owned.shard.operate(owned.epoch, operation).await;
        let reply = reply.map_err(|error| match error {
            // Of a copy, which has to begin anew: to ask again changes nothing.
            kiln_store::Error::IndexMismatch { .. } => Error::conflict(error.to_string()),
            other => other.into(),
        })?;
        Ok(v1::OperateShardResponse {
            reply: Some(v1::ShardOperationReply { reply: Some(reply) }),
        })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::OperateShardResponse>, Status> {
        ShardServiceClient::new(call.channel.clone())
            .max_decoding_message_size(call.message_bytes_max)
            .max_encoding_message_size(call.message_bytes_max)
            .operate_shard(call.request(self.0.clone()))
            .await
    }
}

/// A worker as callers name it, by its component's UUID.
pub(crate) fn by_id(worker: &WorkerId) -> v1::WorkerRef {
    v1::WorkerRef {
        component: worker.component.to_string(),
        worker: worker.name.to_string(),
    }
}

fn typed(call: ExportedFunctionInvokedEntry) -> v1::InvokeRequest {
    v1::InvokeRequest {
        function: call.function_name,
        arguments: Some(v1::invoke_request::Arguments::Typed(v1::ValueList {
            values: call.request,
        })),
        idempotency_key: call.idempotency_key,
        context: call.context,
        ..v1::InvokeRequest::default()
    }
}

fn maker(promise: &PromiseId) -> Result<WorkerId, Error> {
    let worker = promise.worker_id.as_ref();
    WorkerId::try_from(worker.ok_or_else(|| Error::invalid("the promise names no worker"))?)
}

#[async_trait::async_trait]
impl Cluster for WayOut {
    async fn complete_promise(&self, promise: &PromiseId, data: Bytes, token: Uuid) -> Result<bool, Error> {
        let complete = CompletePromise {
            epoch: 0,
            promise: Some(promise.clone()),
            data,
            token: Bytes::copy_from_slice(token.as_bytes()),
        };
        let reply = self
            .operate(&maker(promise)?, ShardWork::CompletePromise(complete))
            .await?;
        Ok(reply == Reply::Completed(true))
    }

    async fn promise(&self, promise: &PromiseId, waiter: Option<&WorkerId>) -> Result<Option<Bytes>, Error> {
        let wait = AwaitPromise {
            epoch: 0,
            promise: Some(promise.clone()),
            waiter: waiter.map(Into::into),
        };
        match self
            .operate(&maker(promise)?, ShardWork::AwaitPromise(wait))
            .await?
        {
            Reply::Promise(promise) => Ok(promise.data),
            _ => Err(Error::internal("a shard's answer does not fit the question")),
        }
    }

    async fn delete_promise(&self, promise: &PromiseId) -> Result<(), Error> {
        let delete = DeletePromise {
            epoch: 0,
            promise: Some(promise.clone()),
        };
        let deleted = self
            .operate(&maker(promise)?, ShardWork::DeletePromise(delete))
            .await;
        none_if_missing(deleted.map(|_| ())).map(|_| ())
    }

    async fn wake(&self, worker: &WorkerId) -> Result<(), Error> {
        let wake = WakeWorker {
            epoch: 0,
            worker_id: Some(worker.into()),
        };
        self.operate(worker, ShardWork::WakeWorker(wake))
            .await
            .map(|_| ())
    }

    async fn enqueue(&self, worker: &WorkerId, call: ExportedFunctionInvokedEntry) -> Result<(), Error> {
        let request = v1::InvokeRequest {
            no_wait: true,
            ..typed(call)
        };
        self.invoke(worker, request, Patience::of(Some(PATIENCE)))
            .await
            .map(|_| ())
    }

    async fn run(
        &self,
        worker: &WorkerId,
        call: ExportedFunctionInvokedEntry,
    ) -> Result<Option<v1::Value>, Error> {
        let response = self.invoke(worker, typed(call), Patience::of(None)).await?;
        Ok(response.result)
    }

    async fn worker(&self, worker: &WorkerId) -> Result<Option<WorkerRecord>, Error> {
        let api = self.api()?;
        let shard = api.router.shard_of(worker)?;
        let request = v1::GetRecordRequest {
            worker: Some(worker.into()),
        };
        let found = api
            .router
            .route(shard, Patience::of(Some(PATIENCE)), Arc::new(GetRecord(request)))
            .await;
        Ok(none_if_missing(found)?.and_then(|found| found.record))
    }

    async fn list_workers(&self, query: WorkersQuery) -> Result<WorkersPage, Error> {
        let api = self.api()?;
        let WorkersQuery {
            component,
            filter,
            is_precise,
            cursor,
            limit,
        } = query;
        let query = Query::new(Some(component), filter, is_precise)?;
        let patience = Patience::of(Some(PATIENCE));
        let (workers, cursor) = api.enumerator.records(&query, &cursor, limit, patience).await?;
        Ok(WorkersPage { workers, cursor })
    }

    async fn oplog(
        &self,
        worker: &WorkerId,
        from: OplogIndex,
        query: &str,
    ) -> Result<Option<v1::GetOplogResponse>, Error> {
        let api = self.api()?;
        let shard = api.router.shard_of(worker)?;
        let request = v1::GetOplogRequest {
            worker: Some(v1::WorkerRef {
                component: worker.component.to_string(),
                worker: worker.name.to_string(),
            }),
            from: from.0,
            limit: 0,
            query: query.to_owned(),
            wait_ms: 0,
        };
        let patience = Patience::of(Some(PATIENCE));
        let page = api
            .router
            .route(shard, patience, On::new(worker.clone(), request));
        none_if_missing(page.await)
    }

    async fn update_worker(
        &self,
        worker: &WorkerId,
        version: ComponentVersion,
        mode: UpdateMode,
        token: Uuid,
    ) -> Result<(), Error> {
        let request = v1::UpdateWorkerRequest {
            worker: Some(by_id(worker)),
            version: version.0,
            mode: mode.into(),
            token: Bytes::copy_from_slice(token.as_bytes()),
        };
        self.on_worker(worker, request).await.map(|_| ())
    }

    async fn fork_worker(
        &self,
        source: &WorkerId,
        target: &WorkerId,
        cutoff: OplogIndex,
        last: Vec<OplogEntry>,
        token: Uuid,
    ) -> Result<(), Error> {
        let fork = Fork {
            source: source.clone(),
            target: target.clone(),
            cutoff: cutoff.0,
            last,
            token: Bytes::copy_from_slice(token.as_bytes()),
        };
        self.api()?.fork(&fork, Patience::of(Some(PATIENCE))).await
    }

    async fn revert_worker(&self, worker: &WorkerId, target: RevertTarget, token: Uuid) -> Result<(), Error> {
        let request = v1::RevertWorkerRequest {
            worker: Some(by_id(worker)),
            target: Some(target),
            token: Bytes::copy_from_slice(token.as_bytes()),
        };
        self.on_worker(worker, request).await.map(|_| ())
    }

    async fn component(&self, reference: &str) -> Result<Option<ComponentId>, Error> {
        let api = self.api()?;
        let id = match none_if_missing(api.registry.resolve(reference).await)? {
            Some(id) => id,
            None => return Ok(None),
        };
        // A UUID is taken as it is; whether there is such a component shows only here.
        Ok(none_if_missing(api.registry.latest(id).await)?.map(|_| id))
    }

    async fn has_function(&self, component: ComponentId, function: &str) -> Result<bool, Error> {
        let registry = &self.api()?.registry;
        let version = registry.latest(component).await?;
        Ok(registry.load(&version).await?.function(function).is_ok())
    }
}

/// Reads a worker's record at its owner.
pub(crate) struct GetRecord(pub(crate) v1::GetRecordRequest);

impl Operation for GetRecord {
    type Reply = v1::GetRecordResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::GetRecordResponse, Error> {
        let worker = self.0.worker.as_ref();
        let worker =
            WorkerId::try_from(worker.ok_or_else(|| Error::invalid("the request names no worker"))?)?;
        owned.shard.barrier().await?;
        Ok(v1::GetRecordResponse {
            record: owned.record(&worker)?,
        })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::GetRecordResponse>, Status> {
        ShardServiceClient::new(call.channel.clone())
            .max_decoding_message_size(call.message_bytes_max)
            .max_encoding_message_size(call.message_bytes_max)
            .get_record(call.request(self.0.clone()))
            .await
    }
}

fn none_if_missing<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
