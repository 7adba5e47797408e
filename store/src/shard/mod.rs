//! A shard: a group that keeps workers.

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
mod proposer;
mod read;
mod record;

pub use checksum::Checksum;
pub use handle::Shard;
pub use machine::ShardMachine;
