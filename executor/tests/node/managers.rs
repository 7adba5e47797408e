use std::{collections::HashMap, pin::Pin, sync::Arc};

use bytes::Bytes;
use kiln_proto::{
    Error,
    v1::{self, shard_manager_service_server::ShardManagerService},
};
use parking_lot::Mutex;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// One node, all shards on it; components in memory.
#[derive(Clone, Default)]
pub(crate) struct PlayedManagers {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    shard_count: u32,
    components: Vec<v1::ComponentVersion>,
    blobs: HashMap<Bytes, Vec<Bytes>>,
    version: u64,
    components_removed: u64,
}

impl PlayedManagers {
    pub(crate) fn new(shard_count: u32) -> Self {
        let played = Self::default();
        played.state.lock().shard_count = shard_count;
        played
    }

    fn map(&self, report: &v1::ExecutorReport) -> v1::ClusterMap {
        let mut state = self.state.lock();
        state.version += 1;
        let placement = |shard| {
            let led = report
                .shards
                .iter()
                .find(|known| known.shard == shard && known.leader != 0);
            v1::ShardPlacement {
                shard,
                replicas: vec![report.node_id],
                preferred_owner: report.node_id,
                initialized: true,
                reported_owner: led.map_or(0, |led| led.leader),
                reported_epoch: led.map_or(0, |led| led.term),
                reported_applied_index: led.map_or(0, |led| led.applied_index),
            }
        };
        v1::ClusterMap {
            secret: "played".into(),
            cluster_id: "played".into(),
            version: state.version,
            shard_count: state.shard_count,
            replication_factor: 1,
            nodes: vec![v1::NodeInfo {
                node_id: report.node_id,
                address: report.address.clone(),
                role: v1::NodeRole::Executor.into(),
                status: v1::NodeStatus::Alive.into(),
                ..v1::NodeInfo::default()
            }],
            shards: (0..state.shard_count).map(placement).collect(),
            managers: Vec::new(),
            components_removed: state.components_removed,
        }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ShardManagerService for PlayedManagers {
    type AttendStream = Answers<v1::ManagerNotice>;
    type WatchMapStream = Answers<v1::ClusterMap>;
    type GetBlobStream = Answers<v1::BlobChunk>;

    async fn attend(
        &self,
        request: Request<Streaming<v1::ExecutorReport>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let played = self.clone();
        let notices = request.into_inner().map(move |report| {
            let map = Some(played.map(&report?));
            Ok(v1::ManagerNotice {
                cluster_id: "played".into(),
                lease_ms: 3000,
                map,
            })
        });
        Ok(Response::new(Box::pin(notices)))
    }

    async fn find_component(
        &self,
        request: Request<v1::FindComponentRequest>,
    ) -> Result<Response<v1::FindComponentResponse>, Status> {
        let request = request.into_inner();
        let state = self.state.lock();
        let is_named = |known: &&v1::ComponentVersion| {
            known.name == request.component
                || uuid::Uuid::from_slice(&known.component_id)
                    .is_ok_and(|id| id.to_string() == request.component)
        };
        let versions: Vec<_> = state.components.iter().filter(is_named).collect();
        let latest = versions
            .last()
            .ok_or_else(|| Error::not_found(format!("no component \"{}\"", request.component)))?;
        let wanted = request.version.unwrap_or(latest.version);
        let found = versions.iter().find(|known| known.version == wanted);
        let found = found.ok_or_else(|| Error::not_found(format!("no version {wanted}")))?;
        Ok(Response::new(v1::FindComponentResponse {
            component: Some((**found).clone()),
            latest: latest.version,
        }))
    }

    async fn register_component(
        &self,
        request: Request<v1::RegisterComponentRequest>,
    ) -> Result<Response<v1::RegisterComponentResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state.lock();
        let before = state
            .components
            .iter()
            .rfind(|known| known.name == request.name)
            .cloned();
        let component = v1::ComponentVersion {
            ephemeral: request.ephemeral,
            component_id: before.as_ref().map_or_else(
                || Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes()),
                |known| known.component_id.clone(),
            ),
            name: request.name,
            version: before.map_or(0, |known| known.version + 1),
            size: request.size,
            digest: request.digest,
            env: request.env,
            files: request.files,
            indexed_env: request.indexed_env,
            indexed_config: request.indexed_config,
            clients: request.clients,
            processors: request.processors,
            ..v1::ComponentVersion::default()
        };
        state.components.push(component.clone());
        Ok(Response::new(v1::RegisterComponentResponse {
            component: Some(component),
        }))
    }

    async fn remove_component(
        &self,
        request: Request<v1::RemoveComponentRequest>,
    ) -> Result<Response<v1::RemoveComponentResponse>, Status> {
        let id = request.into_inner().component_id;
        let mut state = self.state.lock();
        state.components.retain(|known| known.component_id != id);
        state.components_removed += 1;
        Ok(Response::new(v1::RemoveComponentResponse {}))
    }

    async fn list_registry(
        &self,
        _request: Request<v1::ListRegistryRequest>,
    ) -> Result<Response<v1::ListRegistryResponse>, Status> {
        let components = self.state.lock().components.clone();
        Ok(Response::new(v1::ListRegistryResponse { components }))
    }

    async fn put_blob_chunk(
        &self,
        request: Request<v1::PutBlobChunkRequest>,
    ) -> Result<Response<v1::PutBlobChunkResponse>, Status> {
        let request = request.into_inner();
        assert_eq!(crc32c::crc32c(&request.bytes), request.checksum);
        self.state
            .lock()
            .blobs
            .entry(request.digest)
            .or_default()
            .push(request.bytes);
        Ok(Response::new(v1::PutBlobChunkResponse {}))
    }

    async fn get_blob(
        &self,
        request: Request<v1::GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        let chunks = self.state.lock().blobs.get(&request.into_inner().digest).cloned();
        let chunks = chunks.ok_or_else(|| Error::not_found("no such blob"))?;
        let chunks = chunks.into_iter().map(|bytes| Ok(v1::BlobChunk { bytes }));
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn drain_node(
        &self,
        _request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn rebalance(
        &self,
        _request: Request<v1::RebalanceRequest>,
    ) -> Result<Response<v1::RebalanceResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn bootstrap(
        &self,
        _request: Request<v1::BootstrapRequest>,
    ) -> Result<Response<v1::BootstrapResponse>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn get_map(
        &self,
        _request: Request<v1::GetMapRequest>,
    ) -> Result<Response<v1::ClusterMap>, Status> {
        Err(Status::unimplemented("played"))
    }

    async fn watch_map(
        &self,
        _request: Request<v1::WatchMapRequest>,
    ) -> Result<Response<Self::WatchMapStream>, Status> {
        Err(Status::unimplemented("played"))
    }
}
