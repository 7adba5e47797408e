//! Between nodes: one stream a pair carries the Raft messages of all groups; snapshots have calls of their own.

mod connection;
mod link;
mod network;
mod peers;
mod service;

use std::{collections::HashMap, sync::Arc};

use kiln_proto::ids::NodeId;
use parking_lot::Mutex;

use link::Link;
pub(super) use network::Network;
pub use peers::Peers;
pub(crate) use service::Service;

/// Messages between nodes may be this large: a command and its envelope.
const MESSAGE_BYTES_MAX: usize = super::group::COMMAND_BYTES_MAX + (1 << 20);

/// Metadata of a stream: who calls, and whom it means to reach.
const FROM: &str = "kiln-from";
const TO: &str = "kiln-to";

/// Messages that may wait to be merged into a frame.
const QUEUE_LENGTH: usize = 1024;

/// Messages that one frame carries at most.
const FRAME_MESSAGES_MAX: usize = 64;

/// The links to all other nodes.
pub(crate) struct Transport {
    node: NodeId,
    peers: Peers,
    links: Mutex<HashMap<NodeId, Arc<Link>>>,
}

impl Transport {
    pub(crate) fn new(node: NodeId, peers: Peers) -> Self {
        Self {
            node,
            peers,
            links: Mutex::default(),
        }
    }

    fn link(&self, to: NodeId) -> Arc<Link> {
        let mut links = self.links.lock();
        let link = links
            .entry(to)
            .or_insert_with(|| Arc::new(Link::new(self.node, to, self.peers.clone())));
        Arc::clone(link)
    }
}
