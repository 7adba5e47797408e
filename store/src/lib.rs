//! Replicated shards: Raft groups over RocksDB.
//!
//! * [`Store`] – a node's storage: two RocksDB instances, the log writer, the Raft transport
//! * [`Group`] – a replica of one Raft group, with a [`Machine`] that commands are applied to
//! * [`Shard`] – a group that keeps workers: oplogs, worker records, indexes, idempotency keys
//! * [`worker`] – the status fold: what an oplog amounts to, as a pure function
//!
//! Inside: `engine` knows RocksDB, `raft` knows openraft, `shard` knows neither.

mod engine;
mod error;
mod fail_stop;
mod machine;
mod options;
mod raft;
mod shard;
mod stats;
mod store;
pub mod worker;

pub use engine::{Reader, Row, Table, Transaction};
pub use error::Error;
pub use machine::Machine;
pub use options::Options;
pub use raft::{COMMAND_BYTES_MAX, Group, Leadership, Peers};
pub use shard::{
    AccessPath, Before, Change, Changes, Checksum, Due, DueGarbage, Facts, Hit, Position, Shard,
    ShardMachine, StoredObject, Stream, Tally, Variable, VariableKind, View, WorkerNumber,
};
pub use stats::Stats;
pub use store::Store;
