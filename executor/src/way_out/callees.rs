use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::WorkerId,
    v1::{
        self, EndTask, ExportedFunctionInvokedEntry, KeyValue, Schedule, ScheduledInvocation, Task, Value,
        ValueList, WorkerRef, invoke_request::Arguments, shard_operation::Operation as ShardWork,
        task::Task as What,
    },
};

use super::{PATIENCE, WayOut};
use crate::{
    host::{Callees, GuestCall, Heritage, ScheduledCall},
    operations::{Invocation, On},
    route::Patience,
};

#[async_trait::async_trait]
impl Callees for WayOut {
    async fn create(&self, worker: &WorkerId, heritage: &Heritage) -> Result<(), Error> {
        let api = self.api()?;
        let request = v1::CreateWorkerRequest {
            worker: Some(reference(worker)),
            args: heritage.args.clone(),
            env: pairs(&heritage.env),
            config: pairs(&heritage.config),
            version: None,
            ignore_existing: true,
            parent: Some((&heritage.parent).into()),
        };
        let shard = api.router.shard_of(worker)?;
        let operation = On::new(worker.clone(), request);
        let patience = Patience::of(Some(PATIENCE));
        api.router.route(shard, patience, operation).await.map(|_| ())
    }

    async fn call(&self, call: &GuestCall) -> Result<Option<Value>, Error> {
        let response = self
            .invoke(&call.worker, request(call), Patience::of(None))
            .await?;
        Ok(response.result)
    }

    async fn send(&self, call: &GuestCall) -> Result<(), Error> {
        let request = v1::InvokeRequest {
            no_wait: true,
            ..request(call)
        };
        let patience = Patience::of(Some(PATIENCE));
        self.invoke(&call.worker, request, patience).await.map(|_| ())
    }

    /// The task lies at the shard of the worker that is to be called.
    async fn schedule(&self, call: &GuestCall, due_ns: u64) -> Result<(), Error> {
        let invocation = ScheduledInvocation {
            worker_id: Some((&call.worker).into()),
            call: Some(ExportedFunctionInvokedEntry {
                function_name: call.function.clone(),
                request: call.arguments.clone(),
                idempotency_key: call.key.to_string(),
                context: call.context.clone(),
            }),
            is_flat: true,
        };
        let schedule = Schedule {
            epoch: 0,
            task: Some(Task {
                due_ns,
                id: Bytes::copy_from_slice(call.key.as_bytes()),
                task: Some(What::Invoke(invocation)),
            }),
        };
        let done = self.operate(&call.worker, ShardWork::Schedule(schedule)).await;
        done.map(|_| ())
    }

    async fn cancel(&self, scheduled: &ScheduledCall) -> Result<(), Error> {
        let end = EndTask {
            epoch: 0,
            due_ns: scheduled.due_ns,
            id: Bytes::copy_from_slice(scheduled.key.as_bytes()),
        };
        let done = self.operate(&scheduled.worker, ShardWork::EndTask(end)).await;
        done.map(|_| ())
    }
}

impl WayOut {
    /// Calls a function at the worker's owner.
    pub(super) async fn invoke(
        &self,
        worker: &WorkerId,
        mut request: v1::InvokeRequest,
        patience: Patience,
    ) -> Result<v1::InvokeResponse, Error> {
        let api = self.api()?;
        let shard = api.router.shard_of(worker)?;
        request.worker = Some(reference(worker));
        let invocation = Invocation::new(worker.clone(), request)?;
        api.router.route(shard, patience, invocation).await
    }
}

fn request(call: &GuestCall) -> v1::InvokeRequest {
    v1::InvokeRequest {
        function: call.function.clone(),
        arguments: Some(Arguments::Flat(ValueList {
            values: call.arguments.clone(),
        })),
        idempotency_key: call.key.to_string(),
        context: call.context.clone(),
        ..v1::InvokeRequest::default()
    }
}

/// A worker as another node is asked for it.
fn reference(worker: &WorkerId) -> WorkerRef {
    WorkerRef {
        component: worker.component.to_string(),
        worker: worker.name.to_string(),
    }
}

fn pairs(list: &[(String, String)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(String, String)| KeyValue {
        key: key.clone(),
        value: value.clone(),
    };
    list.iter().map(pair).collect()
}
