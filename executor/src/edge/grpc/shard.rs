use std::sync::Arc;

use kiln_proto::{
    Error,
    ids::{NodeId, ShardId, WorkerId},
    v1::{self, change_replicas_request::Change, shard_service_server::ShardService},
};
use kiln_store::Shard;
use tonic::{Request, Response, Status};

use crate::{
    edge::Api,
    enumerate::{Count, Question, Scan, ToOwner, WatchShard, read},
    requests::{Adopt, Flush, named_worker},
    route::Patience,
    storage::{ReadStorage, WriteStorage},
    way_out::{GetRecord, OperateShard},
};

/// `kiln.v1.ShardService`: what managers and other executors ask.
pub(super) struct ShardControl(pub(super) Arc<Api>);

impl ShardControl {
    fn replica(&self, shard: u32) -> Result<Shard, Error> {
        let replica = self.0.router.shards.replica(ShardId(shard));
        let replica =
            replica.ok_or_else(|| Error::not_found(format!("this node has no replica of shard {shard}")))?;
        Ok(replica.shard.clone())
    }

    /// Membership is changed at the leader; elsewhere the answer says where that is.
    fn led_replica(&self, shard: u32) -> Result<Shard, Error> {
        let replica = self.replica(shard)?;
        let leadership = *replica.group().leadership().borrow();
        if leadership.is_self {
            Ok(replica)
        } else {
            Err(self.not_owner(shard, leadership.leader))
        }
    }

    fn not_owner(&self, shard: u32, leader: Option<NodeId>) -> Error {
        let map = self.0.router.view.glance();
        Error::not_owner(v1::OwnerHint {
            shard,
            node_id: leader.map_or(0, |leader| leader.0),
            address: leader
                .and_then(|leader| map.address(leader))
                .unwrap_or_default()
                .to_owned(),
        })
    }

    fn patience<T>(&self, request: &Request<T>) -> Patience {
        // Never passed on: the sender has looked for the owner itself.
        let mut patience =
            Patience::from_metadata(request.metadata(), Some(self.0.context.limits.control_timeout));
        patience.hops = patience.hops.max(1);
        patience
    }

    /// Another executor looks for rows: precisely at the owner, else in whatever this replica has applied.
    async fn answer<Q: Question>(
        &self,
        question: Q,
        patience: Patience,
    ) -> Result<Response<Q::Answer>, Status> {
        let shard = question.shard();
        if !question.is_precise() && self.0.router.shards.owned(shard).is_none() {
            let replica = self.replica(shard.0)?;
            return Ok(Response::new(read(question, replica, Vec::new()).await?));
        }
        let answer = self
            .0
            .router
            .route(shard, patience, Arc::new(ToOwner(question)))
            .await?;
        Ok(Response::new(answer))
    }

    fn judge(&self, shard: u32, error: kiln_store::Error) -> Error {
        match error {
            kiln_store::Error::NotLeader { leader } => self.not_owner(shard, leader),
            other => other.into(),
        }
    }
}

#[tonic::async_trait]
impl ShardService for ShardControl {
    async fn initialize_shard(
        &self,
        request: Request<v1::InitializeShardRequest>,
    ) -> Result<Response<v1::InitializeShardResponse>, Status> {
        let request = request.into_inner();
        let members: Vec<NodeId> = request.members.iter().copied().map(NodeId).collect();
        let replica = self.0.router.shards.ensure(ShardId(request.shard)).await?;
        replica
            .shard
            .group()
            .initialize(&members)
            .await
            .map_err(Error::from)?;
        Ok(Response::new(v1::InitializeShardResponse {}))
    }

    async fn change_replicas(
        &self,
        request: Request<v1::ChangeReplicasRequest>,
    ) -> Result<Response<v1::ChangeReplicasResponse>, Status> {
        let request = request.into_inner();
        let replica = self.led_replica(request.shard)?;
        let group = replica.group();
        let changed = match request.change {
            Some(Change::AddLearner(node)) => group.add_learner(NodeId(node)).await,
            Some(Change::SetVoters(voters)) => {
                let nodes: Vec<NodeId> = voters.nodes.into_iter().map(NodeId).collect();
                group.set_voters(&nodes).await
            }
            None => return Err(Error::invalid("the request names no change").into()),
        };
        changed.map_err(|error| self.judge(request.shard, error))?;
        Ok(Response::new(v1::ChangeReplicasResponse {}))
    }

    async fn transfer_shard(
        &self,
        request: Request<v1::TransferShardRequest>,
    ) -> Result<Response<v1::TransferShardResponse>, Status> {
        let request = request.into_inner();
        let replica = self.led_replica(request.shard)?;
        let transferred = replica.group().transfer_leader(NodeId(request.to)).await;
        transferred.map_err(|error| self.judge(request.shard, error))?;
        Ok(Response::new(v1::TransferShardResponse {}))
    }

    async fn scan_shard(
        &self,
        request: Request<v1::ScanShardRequest>,
    ) -> Result<Response<v1::ScanShardResponse>, Status> {
        let patience = self.patience(&request);
        self.answer(Scan::try_from(request.into_inner())?, patience).await
    }

    async fn count_shard(
        &self,
        request: Request<v1::CountShardRequest>,
    ) -> Result<Response<v1::CountShardResponse>, Status> {
        let patience = self.patience(&request);
        self.answer(Count::try_from(request.into_inner())?, patience)
            .await
    }

    async fn watch_shard(
        &self,
        request: Request<v1::WatchShardRequest>,
    ) -> Result<Response<v1::WatchShardResponse>, Status> {
        let patience = self.patience(&request);
        let watch = WatchShard::try_from(request.into_inner())?;
        let answer = self
            .0
            .router
            .route(watch.shard, patience, Arc::new(watch))
            .await?;
        Ok(Response::new(answer))
    }

    async fn operate_shard(
        &self,
        request: Request<v1::OperateShardRequest>,
    ) -> Result<Response<v1::OperateShardResponse>, Status> {
        let patience = self.patience(&request);
        let request = request.into_inner();
        let shard = ShardId(request.shard);
        Ok(Response::new(
            self.0
                .router
                .route(shard, patience, Arc::new(OperateShard(request)))
                .await?,
        ))
    }

    async fn get_record(
        &self,
        request: Request<v1::GetRecordRequest>,
    ) -> Result<Response<v1::GetRecordResponse>, Status> {
        let patience = self.patience(&request);
        let request = request.into_inner();
        let worker = request.worker.as_ref();
        let worker =
            WorkerId::try_from(worker.ok_or_else(|| Error::invalid("the request names no worker"))?)?;
        let shard = self.0.router.shard_of(&worker)?;
        Ok(Response::new(
            self.0
                .router
                .route(shard, patience, Arc::new(GetRecord(request)))
                .await?,
        ))
    }

    async fn write_storage(
        &self,
        request: Request<v1::WriteStorageRequest>,
    ) -> Result<Response<v1::WriteStorageResponse>, Status> {
        let patience = self.patience(&request);
        let request = request.into_inner();
        let shard = ShardId(request.shard);
        let write = Arc::new(WriteStorage(request));
        Ok(Response::new(self.0.router.route(shard, patience, write).await?))
    }

    async fn read_storage(
        &self,
        request: Request<v1::ReadStorageRequest>,
    ) -> Result<Response<v1::ReadStorageResponse>, Status> {
        let patience = self.patience(&request);
        let request = request.into_inner();
        let shard = ShardId(request.shard);
        let read = Arc::new(ReadStorage(request));
        Ok(Response::new(self.0.router.route(shard, patience, read).await?))
    }

    async fn flush_worker(
        &self,
        request: Request<v1::FlushWorkerRequest>,
    ) -> Result<Response<v1::FlushWorkerResponse>, Status> {
        let patience = self.patience(&request);
        let request = request.into_inner();
        let shard = self.0.router.shard_of(&named_worker(request.worker.as_ref())?)?;
        let flushed = self
            .0
            .router
            .route(shard, patience, Arc::new(Flush(request)))
            .await?;
        Ok(Response::new(flushed))
    }

    async fn adopt_worker(
        &self,
        request: Request<v1::AdoptWorkerRequest>,
    ) -> Result<Response<v1::AdoptWorkerResponse>, Status> {
        let patience = self.patience(&request);
        let request = request.into_inner();
        let shard = self.0.router.shard_of(&named_worker(request.worker.as_ref())?)?;
        let adopted = self
            .0
            .router
            .route(shard, patience, Arc::new(Adopt(request)))
            .await?;
        Ok(Response::new(adopted))
    }

    async fn checksum_shard(
        &self,
        request: Request<v1::ChecksumShardRequest>,
    ) -> Result<Response<v1::ChecksumShardResponse>, Status> {
        let replica = self.replica(request.into_inner().shard)?;
        let checksum = tokio::task::spawn_blocking(move || replica.checksum()).await;
        let checksum = checksum
            .map_err(|_| Error::internal("the checksum was aborted"))?
            .map_err(Error::from)?;
        Ok(Response::new(v1::ChecksumShardResponse {
            applied_index: checksum.applied_index,
            workers: checksum.workers,
            entries: checksum.entries,
            digest: checksum.digest.to_be_bytes().to_vec().into(),
        }))
    }
}
