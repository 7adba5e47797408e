use std::sync::Arc;

use futures::{StreamExt, stream::BoxStream};
use kiln_proto::v1::{self, shard_manager_service_server::ShardManagerService};
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    attend, bootstrap,
    inner::Inner,
    operate, registry,
    route::{self, Route, forwarded, was_forwarded},
};

/// How long a node that wants to attend waits for a leading manager.
const ATTEND_ROUTE_FOR: std::time::Duration = std::time::Duration::from_secs(2);

/// `ShardManagerService` of one manager.
///
/// What needs the leading manager is forwarded to it: all changes, the linearizable reads, and the streams by which
/// nodes attend. `WatchMap` and `GetBlob` are answered here: every manager keeps the newest map, and bytes behind a
/// digest never change.
#[derive(Clone)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

#[tonic::async_trait]
impl ShardManagerService for Service {
    async fn bootstrap(
        &self,
        request: Request<v1::BootstrapRequest>,
    ) -> Result<Response<v1::BootstrapResponse>, Status> {
        let was_forwarded = was_forwarded(&request);
        answer(bootstrap::bootstrap(&self.inner, was_forwarded, request.into_inner()).await)
    }

    type AttendStream = attend::Notices;

    async fn attend(
        &self,
        request: Request<Streaming<v1::ExecutorReport>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let was_forwarded = was_forwarded(&request);
        let notices = match self.inner.route(Instant::now() + ATTEND_ROUTE_FOR).await? {
            Route::Here(lead) => attend::here(Arc::clone(&self.inner), lead, request.into_inner()),
            Route::There(_) if was_forwarded => {
                return Err(Status::unavailable("this shard manager does not lead any more"));
            }
            Route::There(client) => attend::there(client, request.into_inner()).await?,
        };
        let stopping = self.inner.stopping.clone().cancelled_owned();
        Ok(Response::new(notices.take_until(stopping).boxed()))
    }

    async fn get_map(&self, request: Request<v1::GetMapRequest>) -> Result<Response<v1::ClusterMap>, Status> {
        let map = self.inner.at_leader(was_forwarded(&request), |route| {
            let inner = Arc::clone(&self.inner);
            Box::pin(async move {
                match route {
                    Route::Here(lead) => {
                        inner.group.read_barrier().await?;
                        Ok(v1::ClusterMap::clone(&*inner.publish(&lead)?))
                    }
                    Route::There(mut client) => Ok(client
                        .get_map(forwarded(v1::GetMapRequest {}))
                        .await?
                        .into_inner()),
                }
            })
        });
        answer(map.await)
    }

    type WatchMapStream = BoxStream<'static, Result<v1::ClusterMap, Status>>;

    async fn watch_map(
        &self,
        request: Request<v1::WatchMapRequest>,
    ) -> Result<Response<Self::WatchMapStream>, Status> {
        let known_version = request.into_inner().known_version;
        let maps = WatchStream::new(self.inner.board.subscribe())
            .filter_map(move |map| std::future::ready(map.filter(|map| map.version > known_version)))
            .map(|map| Ok(v1::ClusterMap::clone(&map)));
        let stopping = self.inner.stopping.clone().cancelled_owned();
        Ok(Response::new(maps.take_until(stopping).boxed()))
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeResponse>, Status> {
        let was_forwarded = was_forwarded(&request);
        answer(operate::drain(&self.inner, was_forwarded, request.into_inner()).await)
    }

    async fn rebalance(
        &self,
        request: Request<v1::RebalanceRequest>,
    ) -> Result<Response<v1::RebalanceResponse>, Status> {
        let was_forwarded = was_forwarded(&request);
        answer(operate::rebalance(&self.inner, was_forwarded, request.into_inner()).await)
    }

    async fn put_blob_chunk(
        &self,
        request: Request<v1::PutBlobChunkRequest>,
    ) -> Result<Response<v1::PutBlobChunkResponse>, Status> {
        let was_forwarded = was_forwarded(&request);
        answer(registry::put_chunk(&self.inner, was_forwarded, request.into_inner()).await)
    }

    type GetBlobStream = registry::Chunks;

    async fn get_blob(
        &self,
        request: Request<v1::GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        let was_forwarded = was_forwarded(&request);
        answer(registry::get_blob(&self.inner, was_forwarded, request.into_inner().digest).await)
    }

    async fn register_component(
        &self,
        request: Request<v1::RegisterComponentRequest>,
    ) -> Result<Response<v1::RegisterComponentResponse>, Status> {
        let was_forwarded = was_forwarded(&request);
        answer(registry::register(&self.inner, was_forwarded, request.into_inner()).await)
    }

    async fn remove_component(
        &self,
        request: Request<v1::RemoveComponentRequest>,
    ) -> Result<Response<v1::RemoveComponentResponse>, Status> {
        let was_forwarded = was_forwarded(&request);
        answer(registry::remove(&self.inner, was_forwarded, request.into_inner()).await)
    }

    async fn find_component(
        &self,
        request: Request<v1::FindComponentRequest>,
    ) -> Result<Response<v1::FindComponentResponse>, Status> {
        let was_forwarded = was_forwarded(&request);
        answer(registry::find(&self.inner, was_forwarded, request.into_inner()).await)
    }

    async fn list_registry(
        &self,
        request: Request<v1::ListRegistryRequest>,
    ) -> Result<Response<v1::ListRegistryResponse>, Status> {
        answer(registry::list(&self.inner, was_forwarded(&request)).await)
    }
}

fn answer<T>(done: Result<T, kiln_proto::Error>) -> Result<Response<T>, Status> {
    Ok(Response::new(done?))
}

/// The service with its message limits.
pub(crate) type Server = v1::shard_manager_service_server::ShardManagerServiceServer<Service>;

pub(crate) fn server(inner: Arc<Inner>) -> Server {
    Server::new(Service { inner })
        .max_decoding_message_size(route::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(route::MESSAGE_BYTES_MAX)
}
