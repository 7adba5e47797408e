use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use kiln_proto::v1::{self, worker_service_server::WorkerService};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    edge::Api,
    operations::On,
    requests::named,
    route::{Operation, Patience},
};

/// Messages of a stream to a caller.
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// `kiln.v1.WorkerService`.
pub(super) struct Worker(pub(super) Arc<Api>);

impl Worker {
    /// Control calls end; invocations wait as long as their caller does.
    fn patience<T>(&self, request: &Request<T>) -> Patience {
        Patience::from_metadata(request.metadata(), Some(self.0.context.limits.control_timeout))
    }

    async fn pass_on<T>(
        &self,
        request: Request<T>,
        worker: impl FnOnce(&T) -> Option<v1::WorkerRef>,
    ) -> Result<Response<<On<T> as Operation>::Reply>, Status>
    where
        T: Send + Sync + 'static,
        On<T>: Operation,
    {
        let patience = self.patience(&request);
        let request = request.into_inner();
        let worker = worker(&request);
        Ok(Response::new(
            self.0.on_worker(worker.as_ref(), request, patience).await?,
        ))
    }
}

#[tonic::async_trait]
impl WorkerService for Worker {
    async fn invoke(
        &self,
        request: Request<v1::InvokeRequest>,
    ) -> Result<Response<v1::InvokeResponse>, Status> {
        let patience = Patience::from_metadata(request.metadata(), None);
        Ok(Response::new(
            self.0.invoke(request.into_inner(), patience).await?,
        ))
    }

    async fn create_worker(
        &self,
        request: Request<v1::CreateWorkerRequest>,
    ) -> Result<Response<v1::CreateWorkerResponse>, Status> {
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn get_worker(
        &self,
        request: Request<v1::GetWorkerRequest>,
    ) -> Result<Response<v1::GetWorkerResponse>, Status> {
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn delete_worker(
        &self,
        request: Request<v1::DeleteWorkerRequest>,
    ) -> Result<Response<v1::DeleteWorkerResponse>, Status> {
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn interrupt_worker(
        &self,
        request: Request<v1::InterruptWorkerRequest>,
    ) -> Result<Response<v1::InterruptWorkerResponse>, Status> {
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn resume_worker(
        &self,
        request: Request<v1::ResumeWorkerRequest>,
    ) -> Result<Response<v1::ResumeWorkerResponse>, Status> {
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn update_worker(
        &self,
        mut request: Request<v1::UpdateWorkerRequest>,
    ) -> Result<Response<v1::UpdateWorkerResponse>, Status> {
        named(&mut request.get_mut().token);
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn revert_worker(
        &self,
        mut request: Request<v1::RevertWorkerRequest>,
    ) -> Result<Response<v1::RevertWorkerResponse>, Status> {
        named(&mut request.get_mut().token);
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn fork_worker(
        &self,
        request: Request<v1::ForkWorkerRequest>,
    ) -> Result<Response<v1::ForkWorkerResponse>, Status> {
        let patience = self.patience(&request);
        self.0.fork_worker(request.into_inner(), patience).await?;
        Ok(Response::new(v1::ForkWorkerResponse {}))
    }

    async fn cancel_invocation(
        &self,
        request: Request<v1::CancelInvocationRequest>,
    ) -> Result<Response<v1::CancelInvocationResponse>, Status> {
        self.pass_on(request, |request| request.worker.clone()).await
    }

    type ConnectWorkerStream = BoxStream<'static, Result<v1::IndexedOplogEntry, Status>>;

    async fn connect_worker(
        &self,
        request: Request<v1::ConnectWorkerRequest>,
    ) -> Result<Response<Self::ConnectWorkerStream>, Status> {
        let request = request.into_inner();
        let events = self.0.connect(request.worker.as_ref(), request.from).await?;
        let events = ReceiverStream::new(events).map_err(Status::from);
        Ok(Response::new(events.boxed()))
    }

    async fn complete_promise(
        &self,
        mut request: Request<v1::CompletePromiseRequest>,
    ) -> Result<Response<v1::CompletePromiseResponse>, Status> {
        named(&mut request.get_mut().token);
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn get_oplog(
        &self,
        request: Request<v1::GetOplogRequest>,
    ) -> Result<Response<v1::GetOplogResponse>, Status> {
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn get_files(
        &self,
        request: Request<v1::GetFilesRequest>,
    ) -> Result<Response<v1::GetFilesResponse>, Status> {
        self.pass_on(request, |request| request.worker.clone()).await
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let patience = self.patience(&request);
        Ok(Response::new(
            self.0.enumerator.list(request.into_inner(), patience).await?,
        ))
    }

    async fn count_workers(
        &self,
        request: Request<v1::CountWorkersRequest>,
    ) -> Result<Response<v1::CountWorkersResponse>, Status> {
        let patience = self.patience(&request);
        Ok(Response::new(
            self.0.enumerator.count(request.into_inner(), patience).await?,
        ))
    }

    type StreamWorkersStream = Messages<v1::ListWorkersResponse>;

    async fn stream_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<Self::StreamWorkersStream>, Status> {
        // It takes as long as the caller takes the rows.
        let patience = Patience::from_metadata(request.metadata(), None);
        let streamed = self.0.enumerator.stream(request.into_inner(), patience).await?;
        let messages = futures::stream::unfold(streamed, |mut streamed| async {
            let message = streamed.next().await?;
            Some((message.map_err(Status::from), streamed))
        });
        Ok(Response::new(Box::pin(messages)))
    }

    type WatchWorkersStream = Messages<v1::WatchWorkersResponse>;

    async fn watch_workers(
        &self,
        request: Request<v1::WatchWorkersRequest>,
    ) -> Result<Response<Self::WatchWorkersStream>, Status> {
        let watch = self.0.enumerator.watch(request.into_inner()).await?;
        let messages = futures::stream::try_unfold(watch, |mut watch| async {
            let message = watch.next().await?;
            Ok(Some((message, watch)))
        });
        Ok(Response::new(Box::pin(messages)))
    }
}
