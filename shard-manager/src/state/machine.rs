use bytes::Bytes;
use kiln_proto::{
    Error as Refusal,
    ids::{NodeId, ShardId},
    v1,
};
use kiln_store::{Error, Machine, Table, Transaction};

use super::{
    components, keys,
    records::{
        Change, Command, Found, Node, Outcome, Placement, PutChunk, Reply, SetDraining, SetPlacements,
        decode, encode,
    },
    removal,
};

/// The control plane's replicated state machine.
pub struct ControlMachine;

/// What a change comes to: a reply, or a refusal that leaves everything as it was.
pub(super) type Applied = Result<Result<Option<Outcome>, Refusal>, Error>;

impl Machine for ControlMachine {
    fn apply(&self, state: &mut Transaction<'_>, command: Bytes) -> Result<Bytes, Error> {
        let command: Command = decode(command, "a control command")?;
        let change = command
            .change
            .ok_or_else(|| Error::Corrupt("a control command without a change".into()))?;
        let applied = match change {
            Change::Found(found) => apply_found(state, &found),
            Change::SetNode(node) => apply_node(state, node),
            Change::SetPlacements(placements) => apply_placements(state, &placements),
            Change::PutChunk(chunk) => apply_chunk(state, chunk),
            Change::SetDraining(wish) => apply_draining(state, &wish),
            Change::Register(register) => components::apply_register(state, register),
            Change::Remove(remove) => removal::apply_remove(state, &remove.component_id),
        }?;
        let outcome = applied.unwrap_or_else(|refusal| Some(Outcome::Refused(detail(refusal))));
        Ok(encode(&Reply { outcome }))
    }
}

fn detail(refusal: Refusal) -> v1::ErrorDetail {
    v1::ErrorDetail {
        code: refusal.code.into(),
        message: refusal.message,
        hint: refusal.hint,
        owner: refusal.owner,
    }
}

fn apply_found(state: &mut Transaction<'_>, found: &Found) -> Applied {
    if let Some(bytes) = state.get(Table::Control, keys::CLUSTER)? {
        let cluster: super::Cluster = decode(bytes, "the cluster record")?;
        return Ok(Err(already_founded(&cluster.cluster_id)));
    }
    state.put(Table::Control, keys::CLUSTER, encode(&found.cluster));
    for manager in &found.managers {
        state.put(Table::Control, keys::node(manager.id()), encode(manager));
    }
    count_revision(state)?;
    Ok(Ok(None))
}

/// Why a second bootstrap is refused.
pub(crate) fn already_founded(cluster_id: &str) -> Refusal {
    Refusal::conflict(format!(
        "this cluster has been founded already: its id is {cluster_id}"
    ))
    .with_hint("a cluster is founded once; start nodes with its managers' addresses to have them join it")
}

fn apply_node(state: &mut Transaction<'_>, node: Node) -> Applied {
    let key = keys::node(NodeId(node.node_id));
    let known: Option<Node> = match state.get(Table::Control, &key)? {
        Some(bytes) => Some(decode(bytes, "a node record")?),
        None => None,
    };
    let node = node.over(known.as_ref());
    if known.as_ref() != Some(&node) {
        state.put(Table::Control, key, encode(&node));
        count_revision(state)?;
    }
    Ok(Ok(None))
}

fn apply_draining(state: &mut Transaction<'_>, wish: &SetDraining) -> Applied {
    let key = keys::node(NodeId(wish.node_id));
    let Some(bytes) = state.get(Table::Control, &key)? else {
        return Ok(Err(unknown_node(NodeId(wish.node_id))));
    };
    let mut node: Node = decode(bytes, "a node record")?;
    if node.draining != wish.draining {
        node.draining = wish.draining;
        state.put(Table::Control, key, encode(&node));
        count_revision(state)?;
    }
    Ok(Ok(None))
}

/// No node of that id has ever attended.
pub(crate) fn unknown_node(node: NodeId) -> Refusal {
    Refusal::not_found(format!("there is no executor {node}")).with_hint("`kiln cluster nodes` lists them")
}

fn apply_placements(state: &mut Transaction<'_>, placements: &SetPlacements) -> Applied {
    for row in &placements.shards {
        let key = keys::shard(ShardId(row.shard));
        let mut placement = row.placement.clone();
        if let Some(bytes) = state.get(Table::Control, &key)? {
            // Starting a group cannot be taken back, whatever a plan made before it thinks.
            placement.initialized |= decode::<Placement>(bytes, "a placement")?.initialized;
        }
        state.put(Table::Control, key, encode(&placement));
    }
    count_revision(state)?;
    Ok(Ok(None))
}

fn apply_chunk(state: &mut Transaction<'_>, chunk: PutChunk) -> Applied {
    // The bytes behind a checked digest never change again.
    if state.get(Table::Control, &keys::blob(&chunk.digest))?.is_none() {
        state.put(Table::Blob, keys::chunk(&chunk.digest, chunk.index), chunk.bytes);
    }
    Ok(Ok(None))
}

/// Notes that something has changed that [`State`](super::State) shows.
pub(super) fn count_revision(state: &mut Transaction<'_>) -> Result<(), Error> {
    count(state, keys::REVISION)
}

pub(super) fn count(state: &mut Transaction<'_>, key: &'static [u8]) -> Result<(), Error> {
    let number = super::number_of(state.get(Table::Control, key)?)? + 1;
    state.put(Table::Control, key, number.to_be_bytes().to_vec());
    Ok(())
}
