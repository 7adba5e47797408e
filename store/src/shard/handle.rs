use bytes::Bytes;
use kiln_proto::{
    ids::{Epoch, OplogIndex, ShardId, WorkerId},
    v1::{AppendOplog, DeleteWorker, OpenEpoch, shard_operation::Operation, shard_operation_reply::Reply},
};

use super::{epoch, machine::ShardMachine, proposer::Proposer};
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
        let group = store.start_group(id.into(), ShardMachine::default()).await?;
        let proposer = Proposer::start(group.clone());
        Ok(Self { id, group, proposer })
    }

    /// The shard's id.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
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

    async fn propose(&self, operation: Operation, worker: Option<&WorkerId>) -> Result<OplogIndex, Error> {
        match self.proposer.propose(operation).await? {
            Reply::Applied(applied) => Ok(OplogIndex(applied.oplog_index)),
            Reply::Fenced(fenced) => Err(epoch::error(fenced)),
            Reply::IndexMismatch(mismatch) => Err(Error::IndexMismatch {
                last: OplogIndex(mismatch.last_index),
            }),
            Reply::NotFound(_) => Err(Error::NotFound(
                worker.map_or_else(String::new, |worker| format!("worker {worker}")),
            )),
            Reply::Malformed(why) => Err(Error::Invalid(why)),
        }
    }
}
