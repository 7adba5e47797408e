//! Shard managers on real stores over loopback gRPC, with executors that only pretend to have shards.

mod bootstrap;
mod executors;
mod failover;
mod fake_executor;
mod managers;
mod registry;
