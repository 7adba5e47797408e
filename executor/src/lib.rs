//! Owns shards, runs durable workers and serves the public API.
//!
//! A call goes one way: `edge` → `route` → `shard` → `worker` → [`host`] → [`journal`] → the store.
//!
//! * [`Executor`], [`Options`] – a node's executor, or without a store an edge that only passes calls on
//! * `edge` – gRPC and HTTP, one service a file; `operations`, `oplog_page` and `requests` are what both can do to a worker,
//!   `fork` and `connect` are what takes several steps
//! * `route` – from a worker's name to the node that owns it; retries until the caller's deadline
//! * `attend`, `managers`, `registry` – the lease, the map and the components, from the shard managers
//! * `prefetch` – compiles new components before they are called
//! * `own_listeners` – keeps guests away from the cluster's own listeners
//! * `processors` – components that are given the oplogs of others
//! * `shard` – replicas on this node: opened when led, closed at once when not, recovered, reconciled with the map
//! * `way_out` – from a worker to others: what the host asks of the cluster
//! * `storage` – keys and blobs of applications, over all shards
//! * `initial_files` – the files that workers of a component begin with, on this node's disk
//! * `worker` – one actor a loaded worker; `invoke` – accepting, ending and retrying invocations
//! * [`enumerate`] – listing and counting workers over all shards
//! * [`component`] – from uploaded bytes to something that can be instantiated
//! * [`host`] – the wasm host: runs one worker's component, durably
//! * [`memory`] – how much the machine has
//! * [`journal`] – the oplog of one loaded worker
//! * [`oplog_query`] – searching an oplog
//! * `telemetry` – ended invocations as OpenTelemetry spans
//! * [`replay`] – matching what the guest does with its oplog

mod attend;
pub mod component;
mod connect;
mod context;
mod edge;
pub mod enumerate;
mod executor;
mod fork;
pub mod host;
mod initial_files;
mod invoke;
pub mod journal;
mod managers;
pub mod memory;
mod metrics;
mod operations;
mod oplog_page;
pub mod oplog_query;
mod options;
mod own_listeners;
mod prefetch;
mod processors;
mod registry;
pub mod replay;
mod requests;
mod route;
mod shard;
mod storage;
mod telemetry;
mod way_out;
mod worker;

pub use executor::Executor;
pub use options::{Limits, Options};
pub use storage::BlobPlace;
