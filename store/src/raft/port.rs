use std::{collections::HashMap, path::PathBuf, sync::Arc};

use kiln_proto::ids::GroupId;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use parking_lot::RwLock;

use super::types::{SnapshotMeta, Types, Vote};

/// What other nodes may ask of a group here. The text of a refusal travels back.
#[async_trait::async_trait]
pub(crate) trait Port: Send + Sync {
    async fn append(
        &self,
        request: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<Types>, String>;
    async fn vote(&self, request: VoteRequest<Types>) -> Result<VoteResponse<Types>, String>;
    async fn pre_vote(&self, request: VoteRequest<Types>) -> Result<VoteResponse<Types>, String>;
    async fn transfer_leader(&self, request: TransferLeaderRequest<Types>) -> Result<(), String>;
    /// Installs a snapshot that was received completely into `folder`.
    async fn install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        folder: PathBuf,
    ) -> Result<SnapshotResponse<Types>, String>;
    /// Stops the replica; its data stays.
    async fn stop(&self);
    /// The state has been flushed: the log that leads to it may go.
    async fn flushed(&self);
}

/// The groups that run here.
#[derive(Clone, Default)]
pub(crate) struct Ports {
    groups: Arc<RwLock<HashMap<GroupId, Arc<dyn Port>>>>,
}

impl Ports {
    pub(crate) fn get(&self, group: GroupId) -> Option<Arc<dyn Port>> {
        self.groups.read().get(&group).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn Port>> {
        self.groups.read().values().cloned().collect()
    }

    pub(crate) fn insert(&self, group: GroupId, port: Arc<dyn Port>) {
        self.groups.write().insert(group, port);
    }

    pub(crate) fn remove(&self, group: GroupId) {
        self.groups.write().remove(&group);
    }
}
