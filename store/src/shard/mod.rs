//! A shard: a group that keeps workers.

mod agenda;
mod append;
mod cache;
mod checksum;
mod chunk;
mod epoch;
mod facts;
mod feed;
mod handle;
mod index;
mod keys;
mod layout;
mod machine;
mod merge;
mod promises;
mod proposer;
mod read;
mod record;
mod search;
mod storage;
mod tally;
mod tasks;
mod variable;
mod view;

pub use checksum::Checksum;
pub use facts::Facts;
pub use feed::Before;
pub use handle::Shard;
pub use keys::WorkerNumber;
pub use machine::ShardMachine;
pub use search::{AccessPath, Hit, Position, Stream};
pub use storage::{DueGarbage, StoredObject};
pub use tally::Tally;
pub use tasks::Due;
pub use variable::{Variable, VariableKind};
pub use view::{Change, Changes, View};
