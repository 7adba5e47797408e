use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kiln_proto::{
    ids::{GroupId, NodeId},
    v1::{raft_message::Kind, raft_service_client::RaftServiceClient},
};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tonic::transport::Channel;

use super::{
    Peers,
    connection::{Connection, Failure},
};

/// After a failed attempt to connect, requests fail at once for so long; doubled with each failure.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// The way to another node: connects when it is needed, again after each loss, and follows the node's address.
pub(super) struct Link {
    from: NodeId,
    to: NodeId,
    peers: Peers,
    current: RwLock<Option<Arc<Connection>>>,
    attempts: Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    address: Option<Arc<str>>,
    backoff: Duration,
    not_before: Option<Instant>,
}

impl Link {
    pub(super) fn new(from: NodeId, to: NodeId, peers: Peers) -> Self {
        Self {
            from,
            to,
            peers,
            current: RwLock::default(),
            attempts: Mutex::default(),
        }
    }

    pub(super) async fn request(
        &self,
        group: GroupId,
        kind: Kind,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Failure> {
        self.connection().await?.request(group, kind, body, timeout).await
    }

    pub(super) async fn client(&self) -> Result<RaftServiceClient<Channel>, Failure> {
        Ok(self.connection().await?.client())
    }

    async fn connection(&self) -> Result<Arc<Connection>, Failure> {
        let Some(address) = self.peers.get(self.to) else {
            return Err(Failure::Unreachable(format!(
                "the address of node {} is not known",
                self.to
            )));
        };
        if let Some(connection) = self.usable(&address) {
            return Ok(connection);
        }
        // One attempt at a time; those who waited for it share its outcome.
        let mut attempts = self.attempts.lock().await;
        if let Some(connection) = self.usable(&address) {
            return Ok(connection);
        }
        if attempts.address.as_deref() != Some(&*address) {
            *attempts = Attempts {
                address: Some(Arc::clone(&address)),
                ..Attempts::default()
            };
        }
        if attempts.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(Failure::Unreachable(format!(
                "node {} at {address} was not reachable just now",
                self.to
            )));
        }
        match Connection::open(self.from, self.to, Arc::clone(&address)).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *self.current.write() = Some(Arc::clone(&connection));
                attempts.backoff = Duration::ZERO;
                attempts.not_before = None;
                Ok(connection)
            }
            Err(failure) => {
                attempts.backoff = (attempts.backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
                attempts.not_before = Some(Instant::now() + attempts.backoff);
                Err(failure)
            }
        }
    }

    fn usable(&self, address: &str) -> Option<Arc<Connection>> {
        self.current
            .read()
            .clone()
            .filter(|connection| connection.is_usable(address))
    }
}
