//! Typed asynchronous client of a Kiln cluster.
//!
//! * [`Client`] – one method for each public call; clones share everything
//! * [`Options`] – where the cluster is and how long a call may take
//! * `channels` – lazily connected gRPC channels, one an address
//! * `routes` – the cached map of who owns which shard
//! * `retry` – deadline, backoff, and what an error asks for
//!
//! Every call is retried, with one idempotency key, until it is answered or its deadline passes: the loss of a
//! shard's owner is invisible to a caller who waits.

mod address;
mod call;
mod channels;
mod client;
mod cluster;
mod component;
mod connect;
mod control;
mod enumerate;
mod options;
mod retry;
mod routes;
mod storage;
mod worker;

pub use address::Address;
pub use client::Client;
pub use component::Upload;
pub use enumerate::{WorkerStream, WorkerWatch};
pub use kiln_proto::Error;
pub use options::Options;
pub use storage::{Download, NewObject, Source};
