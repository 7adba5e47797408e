//! Clusters of real processes for the tests.
//!
//! * [`cluster`] – managers and executors with their own data folders, founded and ready
//! * [`node`] – one `kiln server` process: start, kill -9, stop and continue
//! * [`kiln`] – the `kiln` command as a user runs it
//! * [`client`] – a client that outlasts failovers
//! * [`crash_points`] – killing the process behind a chosen entry of a worker's oplog
//! * [`server`] – a server for guests, which counts by idempotency key
//! * [`load`] – callers with idempotency keys, and what they were told
//! * [`fleet`] – workers that stay, others that come and go, and lists of them that are checked all the while
//! * [`spans`] – a receiver of OpenTelemetry spans
//! * [`storage`] – workers that use keys, and what a history of a swapped number must look like
//! * [`http`] – one HTTP request
//! * [`inspect`] – what must hold at the end: counters, oplogs, replicas
//! * [`guests`] – where the built components are
//! * [`ports`] – addresses that a restarted node can have again
//! * [`up`] – `kiln up`, for what one process can show
//! * [`wait`] – conditions with a deadline

pub mod client;
pub mod cluster;
pub mod crash_points;
pub mod fleet;
pub mod guests;
pub mod http;
pub mod inspect;
pub mod kiln;
pub mod load;
pub mod node;
pub mod ports;
pub mod server;
pub mod spans;
pub mod storage;
pub mod up;
pub mod wait;
