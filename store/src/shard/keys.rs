//! Keys of a shard's rows. Numbers are big-endian, so that byte order is their order. Part of the storage format.

use kiln_proto::{
    ids::{ComponentId, OplogIndex, WorkerId},
    v1::WorkerStatus,
};

/// The number under which a shard keeps a worker; never used again after the worker's deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WorkerNumber(pub(super) u64);

pub(super) const EPOCH: &[u8] = b"epoch";
pub(super) const NEXT_WORKER: &[u8] = b"next-worker";
pub(super) const COUNT_PREFIX: &[u8] = b"count/";

pub(super) fn count(component: ComponentId, status: WorkerStatus) -> Vec<u8> {
    [COUNT_PREFIX, component.as_bytes(), &[status as u8]].concat()
}

pub(super) fn worker(number: WorkerNumber) -> Vec<u8> {
    number.0.to_be_bytes().to_vec()
}

pub(super) fn by_name(worker: &WorkerId) -> Vec<u8> {
    [worker.component.as_bytes(), worker.name.as_str().as_bytes()].concat()
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
