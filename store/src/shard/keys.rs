//! Keys of a shard's rows. Numbers are big-endian, so that byte order is their order. Part of the storage format.

use kiln_proto::ids::{ComponentId, OplogIndex, WorkerId};

use crate::Error;

/// The number under which a shard keeps a worker; never used again after the worker's deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerNumber(pub u64);

impl WorkerNumber {
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

pub(super) const EPOCH: &[u8] = b"epoch";
pub(super) const NEXT_WORKER: &[u8] = b"next-worker";
pub(super) const STAGE_PREFIX: &[u8] = b"stage/";

pub(super) fn stage(token: &[u8]) -> Vec<u8> {
    [STAGE_PREFIX, token].concat()
}

pub(super) fn worker(number: WorkerNumber) -> Vec<u8> {
    number.0.to_be_bytes().to_vec()
}

pub(super) fn by_name(worker: &WorkerId) -> Vec<u8> {
    [worker.component.as_bytes(), worker.name.as_str().as_bytes()].concat()
}

/// Undoes [`by_name`].
pub(super) fn worker_of_name(key: &[u8]) -> Result<WorkerId, Error> {
    let read = || {
        let (component, name) = key.split_at_checked(16)?;
        Some(WorkerId {
            component: ComponentId::from_slice(component).ok()?,
            name: std::str::from_utf8(name).ok()?.parse().ok()?,
        })
    };
    read().ok_or_else(|| Error::Corrupt("the name of a worker is malformed".into()))
}

pub(super) fn oplog(number: WorkerNumber, first: OplogIndex) -> Vec<u8> {
    [number.0.to_be_bytes(), first.0.to_be_bytes()].concat()
}

pub(super) fn idem(number: WorkerNumber, key: &str) -> Vec<u8> {
    [&number.0.to_be_bytes(), key.as_bytes()].concat()
}

pub(super) fn promise(number: WorkerNumber, index: u64) -> Vec<u8> {
    [number.0.to_be_bytes(), index.to_be_bytes()].concat()
}

pub(super) fn task(due_ns: u64, id: &[u8]) -> Vec<u8> {
    [&due_ns.to_be_bytes(), id].concat()
}

/// Reads a big-endian number at a place of a key or value.
pub(super) fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)
}
