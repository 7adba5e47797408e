use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::ids::ShardId;
use kiln_store::{Error, Reader, Table};
use parking_lot::Mutex;

use super::{Node, Placement, State, keys, records::decode};

/// Reads the [`State`] that this replica has applied, anew only when it has changed.
pub(crate) struct View {
    reader: Reader,
    last: Mutex<Arc<State>>,
}

impl View {
    pub(crate) fn new(reader: Reader) -> Self {
        Self {
            reader,
            last: Mutex::default(),
        }
    }

    /// The tables below, for what is not part of [`State`].
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The state as applied now.
    pub(crate) fn state(&self) -> Result<Arc<State>, Error> {
        let mut last = self.last.lock();
        loop {
            let before = self.revision()?;
            if last.revision == before {
                return Ok(Arc::clone(&last));
            }
            let state = self.load(before)?;
            // A command that was applied between the reads would give a mixture: read again.
            if self.revision()? == before {
                *last = Arc::new(state);
            }
        }
    }

    fn revision(&self) -> Result<u64, Error> {
        number_of(self.reader.get(Table::Control, keys::REVISION)?)
    }

    fn load(&self, revision: u64) -> Result<State, Error> {
        let cluster = self.reader.get(Table::Control, keys::CLUSTER)?;
        let cluster = cluster
            .map(|bytes| decode(bytes, "the cluster record"))
            .transpose()?;
        let mut state = State {
            revision,
            cluster,
            components_removed: number_of(self.reader.get(Table::Control, keys::REMOVALS)?)?,
            ..State::default()
        };
        for (_, bytes) in self.reader.scan_prefix(Table::Control, keys::NODES)? {
            let node: Node = decode(bytes, "a node record")?;
            state.nodes.insert(node.id(), node);
        }
        for (key, bytes) in self.reader.scan_prefix(Table::Control, keys::SHARDS)? {
            let placement: Placement = decode(bytes, "a placement")?;
            state.shards.insert(shard_of_key(&key)?, placement);
        }
        Ok(state)
    }
}

pub(super) fn number_of(row: Option<Bytes>) -> Result<u64, Error> {
    let Some(row) = row else { return Ok(0) };
    let bytes = row
        .as_ref()
        .try_into()
        .map_err(|_| Error::Corrupt("a counter is not a number".into()))?;
    Ok(u64::from_be_bytes(bytes))
}

fn shard_of_key(key: &[u8]) -> Result<ShardId, Error> {
    key.get(1..)
        .and_then(|id| id.try_into().ok())
        .map(|id| ShardId(u32::from_be_bytes(id)))
        .ok_or_else(|| Error::Corrupt("a placement's key has no shard number".into()))
}
