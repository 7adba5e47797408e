use std::sync::Arc;

use kiln_proto::{Error, ids::GroupId, v1::shard_manager_service_server::ShardManagerServiceServer};
use kiln_store::Store;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    Options, Service, follow, grpc,
    inner::Inner,
    lead,
    map::SharedMap,
    state::{ControlMachine, State},
};

/// A running shard manager.
///
/// It takes part in the managers' Raft group from the start. Until the cluster is founded, by `Bootstrap` at one of
/// the managers, it waits.
pub struct Manager {
    inner: Arc<Inner>,
    tasks: JoinSet<()>,
}

impl Manager {
    /// Starts this node's manager on its store, or resumes it. Mount [`service`](Self::service) and the store's Raft
    /// service on the node's server for the others to reach it.
    ///
    /// # Errors
    /// When the managers' group cannot be started from what is on disk.
    pub async fn start(store: &Store, options: Options) -> Result<Self, Error> {
        let group = store.start_group(GroupId::MANAGERS, ControlMachine).await?;
        let inner = Arc::new(Inner::new(store.clone(), group, options));
        let state = inner.view.state()?;
        follow::learn(&inner, &State::default(), &state).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(lead::run(Arc::clone(&inner)));
        tasks.spawn(follow::attend_to_leader(Arc::clone(&inner)));
        tasks.spawn(follow::keep_up(Arc::clone(&inner), state));
        tasks.spawn(follow::find_managers(Arc::clone(&inner)));
        Ok(Self { inner, tasks })
    }

    /// The gRPC service, to be mounted on the node's server.
    #[must_use]
    pub fn service(&self) -> ShardManagerServiceServer<Service> {
        grpc::server(Arc::clone(&self.inner))
    }

    /// The cluster's id, once it has been founded and this manager knows.
    ///
    /// # Errors
    /// When the control state cannot be read.
    pub fn cluster_id(&self) -> Result<Option<String>, Error> {
        Ok(self
            .inner
            .view
            .state()?
            .cluster
            .as_ref()
            .map(|cluster| cluster.cluster_id.clone()))
    }

    /// True while this manager leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.inner.lead.borrow().is_some()
    }

    /// The newest map that this manager knows, kept up to date.
    #[must_use]
    pub fn map(&self) -> watch::Receiver<Option<SharedMap>> {
        self.inner.board.subscribe()
    }

    /// Ends its streams and tasks and stops its replica of the managers' group. The store stays open.
    pub async fn shutdown(mut self) {
        self.inner.stopping.cancel();
        self.tasks.shutdown().await;
        self.inner.group.stop().await;
    }
}
