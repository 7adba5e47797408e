//! Executors that attend and do as they are told, but keep their shards in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use kiln_proto::v1::{
    self,
    shard_service_server::{ShardService, ShardServiceServer},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Server};

use crate::managers::connect;

/// What all executors of a test share: the Raft groups that they pretend to have.
pub(crate) type World = Arc<Mutex<BTreeMap<u32, FakeGroup>>>;

#[derive(Debug, Clone, Default)]
pub(crate) struct FakeGroup {
    pub leader: u64,
    pub term: u64,
    pub voters: BTreeSet<u64>,
    pub learners: BTreeSet<u64>,
}

pub(crate) struct FakeExecutor {
    attending: JoinHandle<()>,
}

impl FakeExecutor {
    /// Starts an executor that attends by the managers at these addresses.
    pub(crate) async fn start(node_id: u64, managers: Vec<String>, world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let service = ShardServiceServer::new(FakeShards {
            node_id,
            world: Arc::clone(&world),
        });
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        let attending = tokio::spawn(async move {
            loop {
                for manager in &managers {
                    attend(node_id, &address, manager, &world).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        Self { attending }
    }

    /// Its lease is not renewed any more.
    pub(crate) fn kill(&self) {
        self.attending.abort();
    }
}

async fn attend(node_id: u64, address: &str, manager: &str, world: &World) {
    let (address, world) = (address.to_owned(), Arc::clone(world));
    let reports = stream::unfold((address, world), move |(address, world)| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let report = report(node_id, &address, &world);
        Some((report, (address, world)))
    });
    // The two directions of a stream end separately.
    let attending = CancellationToken::new();
    let _ends_with_us = attending.clone().drop_guard();
    let reports = reports.take_until(attending.cancelled_owned());
    let Ok(notices) = connect(manager).attend(reports).await else {
        return;
    };
    let mut notices = notices.into_inner();
    while let Ok(Some(_)) = notices.message().await {}
}

fn report(node_id: u64, address: &str, world: &World) -> v1::ExecutorReport {
    let world = world.lock();
    let held = world
        .iter()
        .filter(|(_, group)| group.voters.contains(&node_id) || group.learners.contains(&node_id));
    let shards = held.map(|(shard, group)| v1::ShardReport {
        shard: *shard,
        leader: group.leader,
        term: group.term,
        applied_index: 1,
        voters: group.voters.iter().copied().collect(),
        learners: group.learners.iter().copied().collect(),
        progress: group
            .voters
            .union(&group.learners)
            .map(|node_id| v1::ReplicaProgress {
                node_id: *node_id,
                matched_index: 1,
            })
            .collect(),
    });
    v1::ExecutorReport {
        node_id,
        address: address.to_owned(),
        pid: 1,
        shards: shards.collect(),
        ..Default::default()
    }
}

struct FakeShards {
    node_id: u64,
    world: World,
}

impl FakeShards {
    fn led(&self, shard: u32, change: impl FnOnce(&mut FakeGroup)) -> Result<(), Status> {
        let mut world = self.world.lock();
        let group = world.get_mut(&shard).filter(|group| group.leader == self.node_id);
        change(group.ok_or_else(|| Status::unavailable("another node leads"))?);
        Ok(())
    }
}

#[tonic::async_trait]
impl ShardService for FakeShards {
    async fn initialize_shard(
        &self,
        request: Request<v1::InitializeShardRequest>,
    ) -> Result<Response<v1::InitializeShardResponse>, Status> {
        let request = request.into_inner();
        let voters = request.members.into_iter().collect();
        let group = FakeGroup {
            leader: self.node_id,
            term: 1,
            voters,
            ..FakeGroup::default()
        };
        self.world.lock().entry(request.shard).or_insert(group);
        Ok(Response::new(v1::InitializeShardResponse {}))
    }

    async fn change_replicas(
        &self,
        request: Request<v1::ChangeReplicasRequest>,
    ) -> Result<Response<v1::ChangeReplicasResponse>, Status> {
        let request = request.into_inner();
        self.led(request.shard, |group| match request.change {
            Some(v1::change_replicas_request::Change::AddLearner(node)) => {
                group.learners.insert(node);
            }
            Some(v1::change_replicas_request::Change::SetVoters(voters)) => {
                group.voters = voters.nodes.into_iter().collect();
                group.learners.clear();
            }
            None => {}
        })?;
        Ok(Response::new(v1::ChangeReplicasResponse {}))
    }

    async fn transfer_shard(
        &self,
        request: Request<v1::TransferShardRequest>,
    ) -> Result<Response<v1::TransferShardResponse>, Status> {
        let request = request.into_inner();
        self.led(request.shard, |group| {
            group.leader = request.to;
            group.term += 1;
        })?;
        Ok(Response::new(v1::TransferShardResponse {}))
    }

    async fn scan_shard(
        &self,
        _: Request<v1::ScanShardRequest>,
    ) -> Result<Response<v1::ScanShardResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn count_shard(
        &self,
        _: Request<v1::CountShardRequest>,
    ) -> Result<Response<v1::CountShardResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn operate_shard(
        &self,
        _: Request<v1::OperateShardRequest>,
    ) -> Result<Response<v1::OperateShardResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn get_record(
        &self,
        _: Request<v1::GetRecordRequest>,
    ) -> Result<Response<v1::GetRecordResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn write_storage(
        &self,
        _: Request<v1::WriteStorageRequest>,
    ) -> Result<Response<v1::WriteStorageResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn read_storage(
        &self,
        _: Request<v1::ReadStorageRequest>,
    ) -> Result<Response<v1::ReadStorageResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn watch_shard(
        &self,
        _: Request<v1::WatchShardRequest>,
    ) -> Result<Response<v1::WatchShardResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn flush_worker(
        &self,
        _: Request<v1::FlushWorkerRequest>,
    ) -> Result<Response<v1::FlushWorkerResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn adopt_worker(
        &self,
        _: Request<v1::AdoptWorkerRequest>,
    ) -> Result<Response<v1::AdoptWorkerResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn checksum_shard(
        &self,
        _: Request<v1::ChecksumShardRequest>,
    ) -> Result<Response<v1::ChecksumShardResponse>, Status> {
        Err(Status::unimplemented("no workers here"))
    }
}
