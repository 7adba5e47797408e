use bytes::Bytes;
use kiln_proto::{
    ids::{Epoch, NodeId, OplogIndex, ShardId, WorkerId},
    v1::{
        AppendOplog, DeleteWorker, OpenEpoch, PublishOplog, StorageReply, shard_operation::Operation,
        shard_operation_reply::Reply,
    },
};

use super::{epoch, machine::ShardMachine, proposer::Proposer, storage};
use crate::{Error, Group, Store};

/// A shard's replica on this node.
#[derive(Clone)]
pub struct Shard {
    id: ShardId,
    pub(super) group: Group<ShardMachine>,
    proposer: Proposer,
}

impl Shard {
    /// Starts the replica: resumes it from disk, or begins an empty one.
    ///
    /// # Errors
    /// As [`Store::start_group`].
    pub async fn start(store: &Store, id: ShardId) -> Result<Self, Error> {
        Self::start_with(store, id, ShardMachine::default()).await
    }

    /// Starts the replica with a machine of one's own.
    ///
    /// # Errors
    /// As [`Store::start_group`].
    pub async fn start_with(store: &Store, id: ShardId, machine: ShardMachine) -> Result<Self, Error> {
        let group = store.start_group(id.into(), machine).await?;
        let proposer = Proposer::start(group.clone());
        Ok(Self { id, group, proposer })
    }

    /// The shard's id.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The node that this replica is on.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.group.node().id
    }

    /// The shard's Raft group.
    #[must_use]
    pub fn group(&self) -> &Group<ShardMachine> {
        &self.group
    }

    /// Makes this node, which must lead, the only one that can write: under the Raft term as the epoch.
    ///
    /// # Errors
    /// `NotLeader`, `Unavailable`, or `Fenced` when a newer leader was faster.
    pub async fn open_epoch(&self) -> Result<Epoch, Error> {
        let leadership = *self.group.leadership().borrow();
        if !leadership.is_self {
            return Err(Error::NotLeader {
                leader: leadership.leader,
            });
        }
        let open = OpenEpoch {
            epoch: leadership.term,
            owner: self.group.node().id.0,
        };
        self.propose(Operation::OpenEpoch(open), None).await?;
        Ok(Epoch(leadership.term))
    }

    /// Appends encoded [`OplogEntry`](kiln_proto::v1::OplogEntry)s to a worker's oplog, which must end right before
    /// `first`; `first` = 1 creates the worker. Returns the worker's last index.
    ///
    /// # Errors
    /// `Fenced`, `IndexMismatch`, `Invalid`, `NotLeader`: nothing was appended. `Unavailable`: it is not known
    /// whether the entries were or will be; the oplog tells, after the next [`barrier`](Self::barrier).
    pub async fn append(
        &self,
        epoch: Epoch,
        worker: &WorkerId,
        first: OplogIndex,
        entries: Vec<Bytes>,
    ) -> Result<OplogIndex, Error> {
        let append = AppendOplog {
            epoch: epoch.0,
            worker_id: Some(worker.into()),
            first_index: first.0,
            entries,
        };
        self.propose(Operation::Append(append), Some(worker)).await
    }

    /// Deletes a worker with everything that is known of it.
    ///
    /// # Errors
    /// `NotFound`, and as [`append`](Self::append).
    pub async fn delete_worker(&self, epoch: Epoch, worker: &WorkerId) -> Result<(), Error> {
        let delete = DeleteWorker {
            epoch: epoch.0,
            worker_id: Some(worker.into()),
        };
        self.propose(Operation::DeleteWorker(delete), Some(worker))
            .await
            .map(|_| ())
    }

    /// Changes whenever entries of the worker have been written after this call.
    #[must_use]
    pub fn follow(&self, worker: &WorkerId) -> tokio::sync::watch::Receiver<u64> {
        self.group.machine().agenda().follow(worker)
    }

    /// Makes a worker of the entries that were staged under a token.
    ///
    /// # Errors
    /// `NotFound` when nothing is staged any more, `Invalid` when that is no whole oplog of this worker or the worker exists,
    /// and as [`append`](Self::append).
    pub async fn publish(&self, epoch: Epoch, worker: &WorkerId, token: Bytes) -> Result<(), Error> {
        let publish = PublishOplog {
            epoch: epoch.0,
            token,
            worker_id: Some(worker.into()),
        };
        self.propose(Operation::PublishOplog(publish), Some(worker))
            .await
            .map(|_| ())
    }

    /// Carries out an operation that anybody in the cluster may ask of the shard's owner, under its epoch.
    ///
    /// # Errors
    /// `Invalid` for an operation that only the owner itself may begin, `NotFound`, and as [`append`](Self::append).
    pub async fn operate(&self, epoch: Epoch, mut operation: Operation) -> Result<Reply, Error> {
        let field = match &mut operation {
            Operation::CompletePromise(complete) => &mut complete.epoch,
            Operation::AwaitPromise(wait) => &mut wait.epoch,
            Operation::DeletePromise(delete) => &mut delete.epoch,
            Operation::WakeWorker(wake) => &mut wake.epoch,
            Operation::Schedule(schedule) => &mut schedule.epoch,
            Operation::EndTask(end) => &mut end.epoch,
            Operation::StageOplog(stage) => &mut stage.epoch,
            _ => {
                return Err(Error::Invalid(
                    "only the owner of a shard may begin this operation".into(),
                ));
            }
        };
        *field = epoch.0;
        self.ask(operation, "the promise or worker").await
    }

    async fn propose(&self, operation: Operation, worker: Option<&WorkerId>) -> Result<OplogIndex, Error> {
        let what = worker.map_or_else(String::new, |worker| format!("worker {worker}"));
        match self.ask(operation, &what).await? {
            Reply::Applied(applied) => Ok(OplogIndex(applied.oplog_index)),
            other => Err(Error::Corrupt(format!("an unexpected reply: {other:?}"))),
        }
    }

    /// Proposes an operation and turns refusals into errors; `what` names its subject.
    async fn ask(&self, operation: Operation, what: &str) -> Result<Reply, Error> {
        match self.proposer.propose(operation).await? {
            Reply::Fenced(fenced) => Err(epoch::error(fenced)),
            Reply::IndexMismatch(mismatch) => Err(Error::IndexMismatch {
                last: OplogIndex(mismatch.last_index),
            }),
            Reply::NotFound(_) => Err(Error::NotFound(what.to_owned())),
            Reply::Malformed(why) => Err(Error::Invalid(why)),
            done => Ok(done),
        }
    }

    pub(super) async fn propose_storage(&self, operation: Operation) -> Result<StorageReply, Error> {
        if !storage::is_storage(&operation) {
            return Err(Error::Invalid(
                "this operation is not one on keys or blobs".into(),
            ));
        }
        match self.proposer.propose(operation).await? {
            Reply::Storage(reply) => Ok(reply),
            _ => Err(Error::Corrupt("an operation on storage got another reply".into())),
        }
    }
}
