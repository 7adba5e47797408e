use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kiln_proto::ids::{GroupId, NodeId};
use openraft::{
    ChangeMembers, Instant as _, Raft, ReadPolicy, ServerState, Snapshot,
    async_runtime::WatchReceiver,
    errors::{
        ClientWriteError, ForwardReason, ForwardToLeader, InitializeError, LinearizableReadError, RaftError,
    },
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
        VoteResponse,
    },
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{
    LogStore,
    log::Volume,
    port::Port,
    snapshot::{self, SnapshotData},
    state_machine::{self, StateMachine},
    supervisor,
    transport::Network,
    types::{Command, SnapshotMeta, Types, Vote},
};
use crate::{Error, Machine, Reader, engine::log_db::Fact, store::Node};

pub(super) type RaftOf<M> = Raft<Types, StateMachine<M>>;

/// A proposal that is not committed by then is given up. It may still take effect.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause before a new leader looks again whether a majority has answered it.
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Larger commands are refused: one must fit in a message between nodes.
pub const COMMAND_BYTES_MAX: usize = 32 << 20;

/// Who leads a group, as far as this replica knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if there is one.
    pub leader: Option<NodeId>,
    /// The Raft term.
    pub term: u64,
    /// This replica leads.
    pub is_self: bool,
}

/// A replica of a group on this node.
pub struct Group<M: Machine> {
    pub(super) inner: Arc<GroupInner<M>>,
}

impl<M: Machine> Clone for Group<M> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

pub(super) struct GroupInner<M: Machine> {
    pub(super) id: GroupId,
    pub(super) node: Arc<Node>,
    machine: Arc<M>,
    reader: Reader,
    applied: watch::Sender<u64>,
    volume: Arc<Volume>,
    /// Replaced by the supervisor when it had to be rebuilt.
    raft: RwLock<RaftOf<M>>,
    pub(super) leadership: watch::Sender<Leadership>,
    /// When this replica last heard of its leader and had applied all that was committed then.
    fresh_at: Mutex<Instant>,
    pub(super) stopping: watch::Sender<bool>,
}

impl<M: Machine> Group<M> {
    /// Resumes a group from disk, or begins an empty one.
    pub(crate) async fn start(node: Arc<Node>, id: GroupId, machine: M) -> Result<Self, Error> {
        finish_installation(&node, id).await?;
        let machine = Arc::new(machine);
        let applied = watch::Sender::new(0);
        let volume = Arc::new(Volume::default());
        let raft = build(&node, id, &machine, &applied, &volume).await?;
        let inner = Arc::new(GroupInner {
            id,
            machine,
            reader: Reader::new(Arc::clone(&node.state), id),
            node,
            applied,
            volume,
            raft: RwLock::new(raft),
            leadership: watch::Sender::new(Leadership::default()),
            fresh_at: Mutex::new(Instant::now()),
            stopping: watch::Sender::new(false),
        });
        inner
            .node
            .ports
            .insert(id, Arc::<GroupInner<M>>::clone(&inner) as Arc<dyn Port>);
        tokio::spawn(supervisor::run(Arc::clone(&inner)));
        Ok(Self { inner })
    }

    /// The group's id.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.inner.id
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &M {
        &self.inner.machine
    }

    /// The applied state of this replica.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.inner.reader.clone()
    }

    /// Gives the group its first members. Every member has to be reachable; asked of one of them.
    ///
    /// # Errors
    /// None when the group has members already, whoever they are.
    pub async fn initialize(&self, members: &[NodeId]) -> Result<(), Error> {
        let members: BTreeMap<u64, openraft::EmptyNode> = members
            .iter()
            .map(|node| (node.0, openraft::EmptyNode::new()))
            .collect();
        match self.inner.raft().initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => Err(Error::Invalid(
                "a group is initialized by one of its members".into(),
            )),
            Err(RaftError::Fatal(error)) => Err(Error::Unavailable(error.to_string())),
        }
    }

    /// The group has members.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        let raft = self.inner.raft();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.log_id().is_some()
    }

    /// Replicates a command and returns the machine's reply.
    ///
    /// # Errors
    /// `NotLeader` when another replica leads; `Unavailable` when it cannot be known whether the command was or will
    /// be committed.
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, Error> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "a command has at most {COMMAND_BYTES_MAX} bytes, not {}",
                command.len()
            )));
        }
        self.inner.node.counters.proposals.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(PROPOSE_TIMEOUT, self.write(command)).await {
            Ok(reply) => reply,
            Err(_) => Err(self.no_quorum()),
        }
    }

    async fn write(&self, command: Bytes) -> Result<Bytes, Error> {
        let patient_until = Instant::now() + self.inner.node.options.election_timeout_max;
        loop {
            match self.inner.raft().client_write(Command(command.clone())).await {
                Ok(response) => return Ok(response.data.0),
                // A leader that was elected just now has not heard from a majority yet. Nothing was proposed.
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))
                    if forward.reason == ForwardReason::LeaseExpired && Instant::now() < patient_until =>
                {
                    tokio::time::sleep(LEASE_POLL_INTERVAL).await;
                }
                Err(RaftError::APIError(error)) => return Err(self.refused(error)),
                Err(RaftError::Fatal(error)) => return Err(Error::Unavailable(error.to_string())),
            }
        }
    }

    fn refused(&self, error: ClientWriteError<Types>) -> Error {
        match error {
            ClientWriteError::ForwardToLeader(forward) => self.forward(&forward),
            ClientWriteError::ChangeMembershipError(error) => Error::Conflict(error.to_string()),
            other => Error::Unavailable(other.to_string()),
        }
    }

    fn forward(&self, forward: &ForwardToLeader<Types>) -> Error {
        match forward.reason {
            ForwardReason::LeaseExpired => self.no_quorum(),
            ForwardReason::LeadershipTransfer => Error::Unavailable(format!(
                "the leadership of group {} is being handed over",
                self.inner.id
            )),
            ForwardReason::NotLeader => Error::NotLeader {
                leader: forward.leader_id.map(NodeId),
            },
        }
    }

    /// Says which replicas could be missing.
    fn no_quorum(&self) -> Error {
        let voters: Vec<String> = self.voters().iter().map(ToString::to_string).collect();
        Error::Unavailable(format!(
            "no majority of the replicas of group {} answers; they are on the nodes {}",
            self.inner.id,
            voters.join(", ")
        ))
    }

    /// Waits until this replica, as the leader, has applied everything that was committed before the call.
    ///
    /// # Errors
    /// `NotLeader`, or `Unavailable` when no majority confirms the leadership.
    pub async fn read_barrier(&self) -> Result<(), Error> {
        let raft = self.inner.raft();
        match tokio::time::timeout(PROPOSE_TIMEOUT, raft.ensure_linearizable(ReadPolicy::ReadIndex)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(self.forward(&forward))
            }
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => {
                Err(self.no_quorum())
            }
            Ok(Err(RaftError::Fatal(error))) => Err(Error::Unavailable(error.to_string())),
        }
    }

    /// Who leads, kept up to date.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.subscribe()
    }

    /// Index of the last log entry that this replica has applied.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        *self.inner.applied.borrow()
    }

    /// Tells of every change of [`applied_index`](Self::applied_index).
    #[must_use]
    pub fn applied_changes(&self) -> watch::Receiver<u64> {
        self.inner.applied.subscribe()
    }

    /// Index of the last log entry that has been purged here; 0 if none has.
    #[must_use]
    pub fn purged_index(&self) -> u64 {
        let raft = self.inner.raft();
        let metrics = raft.metrics();
        let purged = metrics.borrow_watched().purged;
        purged.map_or(0, |purged| purged.index)
    }

    /// When this replica last knew itself up to date.
    #[must_use]
    pub fn applied_at(&self) -> Instant {
        if self.inner.leadership.borrow().is_self {
            // A lone voter is its own quorum, and asks nobody.
            if self.voters().len() == 1 {
                return Instant::now();
            }
            let raft = self.inner.raft();
            let metrics = raft.metrics();
            let acked = metrics.borrow_watched().last_quorum_acked;
            if let Some(acked) = acked {
                let now = Instant::now();
                return now.checked_sub(acked.elapsed()).unwrap_or(now);
            }
        }
        *self.inner.fresh_at.lock()
    }

    /// This replica leads, and no other can have been elected yet, since a majority has just answered it.
    #[must_use]
    pub fn is_within_lease(&self) -> bool {
        let patience = self.inner.node.options.election_timeout_min;
        self.inner.leadership.borrow().is_self && self.applied_at().elapsed() < patience
    }

    /// The nodes whose votes count.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeId> {
        self.inner.raft().voter_ids().map(NodeId).collect()
    }

    /// The nodes that follow without a vote.
    #[must_use]
    pub fn learners(&self) -> Vec<NodeId> {
        self.inner.raft().learner_ids().map(NodeId).collect()
    }

    /// On the leader: the last log index known to be stored on each replica. Elsewhere empty.
    #[must_use]
    pub fn progress(&self) -> Vec<(NodeId, u64)> {
        let raft = self.inner.raft();
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let replicas = metrics.replication.iter().flatten();
        replicas
            .map(|(node, stored)| (NodeId(*node), stored.map_or(0, |stored| stored.index)))
            .collect()
    }

    /// Lets a node follow without a vote. Returns when the change is committed; [`progress`](Self::progress) tells
    /// when it has caught up.
    ///
    /// # Errors
    /// As for [`propose`](Self::propose); `Conflict` while another change is under way.
    pub async fn add_learner(&self, node: NodeId) -> Result<(), Error> {
        let nodes = BTreeMap::from([(node.0, openraft::EmptyNode::new())]);
        self.change(ChangeMembers::AddNodes(nodes), true).await
    }

    /// Makes exactly these nodes the voters and drops all others. Each must be a learner or a voter already.
    ///
    /// # Errors
    /// As for [`propose`](Self::propose); `Conflict` while another change is under way.
    pub async fn set_voters(&self, nodes: &[NodeId]) -> Result<(), Error> {
        let voters: BTreeSet<u64> = nodes.iter().map(|node| node.0).collect();
        let strays = self
            .learners()
            .iter()
            .map(|node| node.0)
            .filter(|node| !voters.contains(node))
            .collect();
        self.change(ChangeMembers::ReplaceAllVoters(voters), false)
            .await?;
        // The library drops former voters, but keeps learners that were never promoted.
        self.change(ChangeMembers::RemoveNodes(strays), false).await
    }

    async fn change(
        &self,
        change: ChangeMembers<u64, openraft::EmptyNode>,
        keep_removed: bool,
    ) -> Result<(), Error> {
        let raft = self.inner.raft();
        match tokio::time::timeout(PROPOSE_TIMEOUT, raft.change_membership(change, keep_removed)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(error))) => Err(self.refused(error)),
            Ok(Err(RaftError::Fatal(error))) => Err(Error::Unavailable(error.to_string())),
            Err(_) => Err(self.no_quorum()),
        }
    }

    /// Asks a voter to take over. Returns at once; [`leadership`](Self::leadership) tells when it has.
    ///
    /// # Errors
    /// `NotLeader` when this replica does not lead; `Unavailable` when the voter has not been heard of just now: a leader
    /// that hands over takes no proposals, so that handing over to a dead node would stop the group.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), Error> {
        let leadership = *self.inner.leadership.borrow();
        if !leadership.is_self {
            return Err(Error::NotLeader {
                leader: leadership.leader,
            });
        }
        let raft = self.inner.raft();
        if !self.has_just_heard_of(&raft, to) {
            return Err(Error::Unavailable(format!(
                "node {to} has not answered this leader of late"
            )));
        }
        raft.trigger()
            .transfer_leader(to.0)
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// The node has acknowledged something of this leader within a follower's patience.
    fn has_just_heard_of(&self, raft: &RaftOf<M>, node: NodeId) -> bool {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let heard = metrics
            .heartbeat
            .as_ref()
            .and_then(|heard| heard.get(&node.0).copied().flatten());
        heard.is_some_and(|at| at.elapsed() <= self.inner.node.options.election_timeout_max)
    }

    /// Stops this replica. Its data stays.
    pub async fn stop(&self) {
        Port::stop(&*self.inner).await;
    }

    /// Stops this replica and removes its data.
    ///
    /// # Errors
    /// When the data cannot be removed.
    pub async fn destroy(&self) -> Result<(), Error> {
        self.stop().await;
        let node = &self.inner.node;
        // First the log and the vote: a state without a log is a start from a snapshot, a log without its state is not.
        node.writer.destroy(self.inner.id).await?;
        node.state.wipe(self.inner.id)?;
        let state = Arc::clone(&node.state);
        tokio::task::spawn_blocking(move || state.flush())
            .await
            .map_err(|_| Error::Stopped)?
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }
}

impl<M: Machine> GroupInner<M> {
    pub(super) fn raft(&self) -> RaftOf<M> {
        self.raft.read().clone()
    }

    /// Builds the replica again from what is on disk, after its core has failed.
    pub(super) async fn rebuild(&self) -> Result<(), Error> {
        // An error only says that the core has stopped, which is why we are here.
        let _ = self.raft().shutdown().await;
        self.machine.reset();
        let raft = build(&self.node, self.id, &self.machine, &self.applied, &self.volume).await?;
        *self.raft.write() = raft;
        Ok(())
    }

    fn heard(&self, commit: Option<u64>) {
        if commit.unwrap_or(0) <= *self.applied.borrow() {
            *self.fresh_at.lock() = Instant::now();
        }
    }

    pub(super) fn publish_leadership(&self) {
        let raft = self.raft();
        let metrics = raft.server_metrics();
        let leadership = {
            let metrics = metrics.borrow_watched();
            Leadership {
                leader: metrics.current_leader.map(NodeId),
                term: metrics.vote.leader_id.term,
                is_self: metrics.state == ServerState::Leader
                    && metrics.current_leader == Some(self.node.id.0),
            }
        };
        self.leadership.send_if_modified(|current| {
            let changed = *current != leadership;
            *current = leadership;
            changed
        });
    }
}

async fn build<M: Machine>(
    node: &Arc<Node>,
    id: GroupId,
    machine: &Arc<M>,
    applied: &watch::Sender<u64>,
    volume: &Arc<Volume>,
) -> Result<RaftOf<M>, Error> {
    let log = LogStore::open(
        id,
        Arc::clone(&node.log),
        node.writer.clone(),
        Arc::clone(&node.tails),
        Arc::clone(volume),
    )?;
    let state_machine = StateMachine::open(
        id,
        Arc::clone(&node.state),
        Arc::clone(machine),
        node.writer.clone(),
        Arc::clone(&node.counters),
        node.snapshots.clone(),
        applied.clone(),
    )?;
    let network = Network::new(id, Arc::clone(&node.transport), Arc::clone(&node.state));
    Raft::new(node.id.0, Arc::clone(&node.config), network, log, state_machine)
        .await
        .map_err(|error| Error::Corrupt(format!("group {id} cannot start: {error}")))
}

/// Completes the installation of a snapshot that a crash has interrupted.
async fn finish_installation(node: &Node, id: GroupId) -> Result<(), Error> {
    let Some(marker) = node.log.fact(id, Fact::Installing)? else {
        return Ok(());
    };
    let installation = snapshot::decode_installation(&marker)?;
    let folder = node.snapshots.join(&installation.folder);
    state_machine::finish_installation(id, &node.state, &node.writer, folder, installation.meta).await
}

#[async_trait::async_trait]
impl<M: Machine> Port for GroupInner<M> {
    async fn append(
        &self,
        request: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<Types>, String> {
        let commit = request.leader_commit.map(|commit| commit.index);
        let response = self
            .raft()
            .append_entries(request)
            .await
            .map_err(|error| error.to_string())?;
        if response.is_success() {
            self.heard(commit);
        }
        Ok(response)
    }

    async fn vote(&self, request: VoteRequest<Types>) -> Result<VoteResponse<Types>, String> {
        self.raft().vote(request).await.map_err(|error| error.to_string())
    }

    async fn pre_vote(&self, request: VoteRequest<Types>) -> Result<VoteResponse<Types>, String> {
        self.raft()
            .pre_vote(request)
            .await
            .map_err(|error| error.to_string())
    }

    async fn transfer_leader(&self, request: TransferLeaderRequest<Types>) -> Result<(), String> {
        match self.raft().handle_transfer_leader(request).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        folder: PathBuf,
    ) -> Result<SnapshotResponse<Types>, String> {
        let snapshot = Snapshot {
            meta,
            snapshot: SnapshotData::Received(folder),
        };
        self.raft()
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(|error| error.to_string())
    }

    async fn stop(&self) {
        self.stopping.send_replace(true);
        self.node.ports.remove(self.id);
        self.node.running.lock().remove(&self.id);
        self.leadership.send_replace(Leadership::default());
        if let Err(error) = self.raft().shutdown().await {
            tracing::warn!(group = %self.id, %error, "a group did not stop cleanly");
        }
    }

    async fn flushed(&self) {
        // The library reads the new durable mark as its snapshot and purges the log behind it, except what is kept.
        // It can only fail when the core has stopped, which the supervisor sees by itself.
        let _ = self.raft().trigger().snapshot().await;
        if let Some(upto) = self.volume.excess(self.node.options.log_bytes_to_keep) {
            let _ = self.raft().trigger().purge_log(upto).await;
        }
    }
}
