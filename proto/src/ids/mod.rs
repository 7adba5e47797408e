//! Newtypes for ids, indexes and epochs.

mod component_id;
mod idempotency_key;
mod numbers;
mod worker_id;

pub use component_id::ComponentId;
pub use idempotency_key::IdempotencyKey;
pub use numbers::{ComponentVersion, Epoch, GroupId, NodeId, OplogIndex, ShardId};
pub use worker_id::{WorkerId, WorkerName};
