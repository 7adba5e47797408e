//! The gRPC services, one a file.

mod cluster;
mod component;
mod shard;
mod storage;
mod worker;

use std::sync::Arc;

use kiln_proto::v1::{
    cluster_service_server::ClusterServiceServer, component_service_server::ComponentServiceServer,
    shard_service_server::ShardServiceServer, storage_service_server::StorageServiceServer,
    worker_service_server::WorkerServiceServer,
};
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use super::Api;
use cluster::Cluster;
use component::Component;
use shard::ShardControl;
use storage::Storage;
use worker::Worker;

pub(crate) use cluster::{status, status_with_usage};

/// Beyond the chunk itself, an upload's message carries a few bytes.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// All services of an executor, with reflection and health.
pub(crate) async fn routes(api: &Arc<Api>) -> Routes {
    let limit = api.context.limits.message_bytes_max;
    let worker = WorkerServiceServer::new(Worker(api.clone()))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let component = ComponentServiceServer::new(Component(api.clone()))
        .max_decoding_message_size(CHUNK_BYTES_MAX)
        .max_encoding_message_size(limit);
    let cluster = ClusterServiceServer::new(Cluster(api.clone()));
    let shard = ShardServiceServer::new(ShardControl(api.clone()))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let storage = StorageServiceServer::new(Storage(api.clone()))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let (reporter, health) = tonic_health::server::health_reporter();
    report_serving(&reporter).await;
    let mut routes = Routes::new(worker)
        .add_service(component)
        .add_service(cluster)
        .add_service(shard)
        .add_service(storage)
        .add_service(health);
    // Older tools know only v1alpha.
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => routes = routes.add_service(v1).add_service(v1alpha),
        (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "no server reflection"),
    }
    routes
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(kiln_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

async fn report_serving(reporter: &HealthReporter) {
    reporter.set_serving::<WorkerServiceServer<Worker>>().await;
    reporter.set_serving::<ComponentServiceServer<Component>>().await;
    reporter.set_serving::<ClusterServiceServer<Cluster>>().await;
    reporter.set_serving::<StorageServiceServer<Storage>>().await;
}
