//! Clusters of real processes for the tests.
//!
//! * [`cluster`] – managers and executors with their own data folders, founded and ready
//! * [`node`] – one `kiln server` process: start, kill -9, stop and continue
//! * [`kiln`] – the `kiln` command as a user runs it
//! * [`client`] – a client that outlasts failovers
//! * [`load`] – callers with idempotency keys, and what they were told
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
pub mod guests;
pub mod http;
pub mod inspect;
pub mod kiln;
pub mod load;
pub mod node;
pub mod ports;
pub mod spans;
pub mod storage;
pub mod up;
pub mod wait;
