//! The fence: every write carries the epoch of its owner, and only the newest counts.

use kiln_proto::{
    ids::Epoch,
    v1::{self, OpenEpoch, shard_operation_reply::Reply},
};

use super::{keys, record, stage};
use crate::{Error, Table, Transaction};

fn current(state: &Transaction<'_>) -> Result<OpenEpoch, Error> {
    state
        .get(Table::Meta, keys::EPOCH)?
        .map_or(Ok(OpenEpoch::default()), |open| record::decode("an epoch", &open))
}

/// Makes an owner the only one that can write, unless a newer one has come before.
pub(super) fn open(state: &mut Transaction<'_>, open: &OpenEpoch) -> Result<Reply, Error> {
    let current = current(state)?;
    let is_same = current.epoch == open.epoch && current.owner == open.owner;
    if open.epoch <= current.epoch && !is_same {
        return Ok(fenced(current.epoch));
    }
    state.put(Table::Meta, keys::EPOCH, record::encode(open));
    stage::clear(state)?;
    Ok(Reply::Applied(v1::Applied { oplog_index: 0 }))
}

/// The refusal of a write under an epoch that is not the current one.
pub(super) fn check(state: &Transaction<'_>, epoch: u64) -> Result<Option<Reply>, Error> {
    let current = current(state)?.epoch;
    Ok((epoch != current || epoch == 0).then(|| fenced(current)))
}

fn fenced(epoch: u64) -> Reply {
    Reply::Fenced(v1::Fenced { epoch })
}

/// The error of a caller whose write was refused.
pub(super) fn error(fenced: v1::Fenced) -> Error {
    Error::Fenced {
        current: Epoch(fenced.epoch),
    }
}
