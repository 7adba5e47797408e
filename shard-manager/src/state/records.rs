use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use kiln_proto::{
    ids::{NodeId, ShardId},
    v1,
};
use kiln_store::Error;
use prost::Message;

/// Version of the encoding of commands, replies and rows.
const FORMAT: u8 = 1;

/// Encodes a record behind its version byte.
pub(crate) fn encode(record: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + record.encoded_len());
    bytes.put_u8(FORMAT);
    record.encode_raw(&mut bytes);
    bytes.freeze()
}

/// Decodes what [`encode`] made.
pub(crate) fn decode<R: Message + Default>(mut bytes: Bytes, what: &str) -> Result<R, Error> {
    if bytes.first() != Some(&FORMAT) {
        return Err(Error::Corrupt(format!("{what} has an unknown format")));
    }
    R::decode(bytes.split_off(1))
        .map_err(|error| Error::Corrupt(format!("{what} cannot be decoded: {error}")))
}

/// What was decided when the cluster was founded. It never changes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Cluster {
    /// UUID of the cluster.
    #[prost(string, tag = "1")]
    pub cluster_id: String,
    /// A power of two.
    #[prost(uint32, tag = "2")]
    pub shard_count: u32,
    /// Replicas that each shard should have.
    #[prost(uint32, tag = "3")]
    pub replication_factor: u32,
    /// The members of the managers' group.
    #[prost(uint64, repeated, tag = "4")]
    pub managers: Vec<u64>,
    /// Random bytes that only nodes know. Empty when the cluster was founded before there were any.
    #[prost(bytes = "bytes", tag = "5")]
    pub secret: Bytes,
}

/// A node as it introduced itself last.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Node {
    /// Its identity.
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
    /// Where other nodes and clients reach it.
    #[prost(string, tag = "2")]
    pub address: String,
    /// For people.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Process id on its machine.
    #[prost(uint32, tag = "4")]
    pub pid: u32,
    /// Version of its build.
    #[prost(string, tag = "5")]
    pub version: String,
    /// It has attended as an executor.
    #[prost(bool, tag = "6")]
    pub executor: bool,
    /// It belongs to the managers' group.
    #[prost(bool, tag = "7")]
    pub manager: bool,
    /// An operator wants its shards elsewhere.
    #[prost(bool, tag = "8")]
    pub draining: bool,
    /// Everywhere it listens.
    #[prost(string, repeated, tag = "9")]
    pub listeners: Vec<String>,
}

impl Node {
    /// This introduction on top of what was known: a role once taken stays, and so does an operator's wish.
    #[must_use]
    pub fn over(mut self, known: Option<&Self>) -> Self {
        if let Some(known) = known {
            self.executor |= known.executor;
            self.manager |= known.manager;
            self.draining = known.draining;
        }
        self
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId(self.node_id)
    }
}

/// Which nodes hold a shard.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Placement {
    /// Nodes that run a replica: the ones that should, and during a move the one that leaves, too.
    #[prost(uint64, repeated, tag = "1")]
    pub replicas: Vec<u64>,
    /// The one of `replicas` that goes as soon as the others can do without it; 0 for none.
    #[prost(uint64, tag = "2")]
    pub leaving: u64,
    /// The node that should lead it.
    #[prost(uint64, tag = "3")]
    pub preferred_owner: u64,
    /// Its Raft group has been started with `replicas` as first members.
    #[prost(bool, tag = "4")]
    pub initialized: bool,
}

impl Placement {
    /// The replicas that shall remain, sorted.
    #[must_use]
    pub fn target(&self) -> Vec<NodeId> {
        let mut target: Vec<_> = self
            .replicas
            .iter()
            .filter(|id| **id != self.leaving)
            .map(|id| NodeId(*id))
            .collect();
        target.sort_unstable();
        target
    }

    /// True when a replica is on its way out.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.leaving != 0
    }

    /// True when the node runs a replica.
    #[must_use]
    pub fn has(&self, node: NodeId) -> bool {
        self.replicas.contains(&node.0)
    }

    /// The node that should lead it.
    #[must_use]
    pub fn owner(&self) -> NodeId {
        NodeId(self.preferred_owner)
    }
}

/// The replicated part of what placement goes by: a view of the tables at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Counts the changes of this view.
    pub revision: u64,
    /// `None` before the cluster is founded.
    pub cluster: Option<Cluster>,
    /// All nodes that ever attended.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Placed shards.
    pub shards: BTreeMap<ShardId, Placement>,
    /// Components that have been removed.
    pub components_removed: u64,
}

/// A component through all its versions.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Component {
    #[prost(bytes = "bytes", tag = "1")]
    pub component_id: Bytes,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(uint64, tag = "3")]
    pub latest: u64,
}

/// A blob whose bytes have been checked against their digest.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Blob {
    #[prost(uint64, tag = "1")]
    pub size: u64,
    #[prost(uint32, tag = "2")]
    pub chunks: u32,
}

/// What a request token was answered with.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Token {
    #[prost(bytes = "bytes", tag = "1")]
    pub component_id: Bytes,
    #[prost(uint64, tag = "2")]
    pub version: u64,
}

/// A change of the control state: one Raft entry.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Command {
    #[prost(oneof = "Change", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub change: Option<Change>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Change {
    #[prost(message, tag = "1")]
    Found(Found),
    #[prost(message, tag = "2")]
    SetNode(Node),
    #[prost(message, tag = "3")]
    SetPlacements(SetPlacements),
    #[prost(message, tag = "4")]
    PutChunk(PutChunk),
    #[prost(message, tag = "5")]
    Register(Register),
    #[prost(message, tag = "6")]
    Remove(v1::RemoveComponentRequest),
    #[prost(message, tag = "7")]
    SetDraining(SetDraining),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Found {
    #[prost(message, required, tag = "1")]
    pub cluster: Cluster,
    #[prost(message, repeated, tag = "2")]
    pub managers: Vec<Node>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct SetPlacements {
    #[prost(message, repeated, tag = "1")]
    pub shards: Vec<ShardPlacement>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ShardPlacement {
    #[prost(uint32, tag = "1")]
    pub shard: u32,
    #[prost(message, required, tag = "2")]
    pub placement: Placement,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct SetDraining {
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
    #[prost(bool, tag = "2")]
    pub draining: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PutChunk {
    #[prost(bytes = "bytes", tag = "1")]
    pub digest: Bytes,
    #[prost(uint32, tag = "2")]
    pub index: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub bytes: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Register {
    #[prost(message, required, tag = "1")]
    pub request: v1::RegisterComponentRequest,
    /// The id that it gets if the name is new.
    #[prost(bytes = "bytes", tag = "2")]
    pub fresh_id: Bytes,
    /// The proposer's clock: data, not a time-out.
    #[prost(fixed64, tag = "3")]
    pub now_ns: u64,
}

/// What a command came to.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Reply {
    #[prost(oneof = "Outcome", tags = "1, 2")]
    pub outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Outcome {
    #[prost(message, tag = "1")]
    Refused(v1::ErrorDetail),
    #[prost(message, tag = "2")]
    Component(v1::ComponentVersion),
}
