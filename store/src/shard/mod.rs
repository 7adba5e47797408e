//! A shard: a group that keeps workers.

mod agenda;
mod append;
mod cache;
mod checksum;
mod chunk;
mod counts;
mod epoch;
mod handle;
mod index;
mod keys;
mod machine;
mod promises;
mod proposer;
mod read;
mod record;
mod tasks;

pub use checksum::Checksum;
pub use handle::Shard;
pub use machine::ShardMachine;
pub use tasks::Due;
