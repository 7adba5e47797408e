use std::{collections::HashMap, sync::Arc};

use kiln_proto::ids::NodeId;
use parking_lot::RwLock;

use crate::{Error, engine::LogDb, raft::LogWriter};

const PREFIX: &[u8] = b"peer/";

/// Where the other nodes can be reached. Remembered on disk, so that a restarted node finds them without help.
#[derive(Clone)]
pub struct Peers {
    addresses: Arc<RwLock<HashMap<NodeId, Arc<str>>>>,
    writer: LogWriter,
}

impl Peers {
    pub(crate) fn open(db: &LogDb, writer: LogWriter) -> Result<Self, Error> {
        let malformed = || Error::Corrupt("a peer's address is malformed".into());
        let addresses = db
            .node_facts(PREFIX)?
            .into_iter()
            .map(|(node, address)| {
                let node = NodeId(u64::from_be_bytes(node.try_into().map_err(|_| malformed())?));
                let address = String::from_utf8(address).map_err(|_| malformed())?;
                Ok((node, Arc::from(address)))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            addresses: Arc::new(RwLock::new(addresses)),
            writer,
        })
    }

    /// Sets where a node can be reached, as `host:port`. The newest address wins.
    pub fn set(&self, node: NodeId, address: &str) {
        if self.get(node).as_deref() == Some(address) {
            return;
        }
        self.addresses.write().insert(node, address.into());
        let mut key = PREFIX.to_vec();
        key.extend_from_slice(&node.0.to_be_bytes());
        self.writer.offer_node_fact(&key, address.as_bytes());
    }

    /// Where a node can be reached, if that is known.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<Arc<str>> {
        self.addresses.read().get(&node).cloned()
    }

    /// All known nodes.
    #[must_use]
    pub fn all(&self) -> Vec<(NodeId, Arc<str>)> {
        self.addresses
            .read()
            .iter()
            .map(|(node, address)| (*node, Arc::clone(address)))
            .collect()
    }
}
