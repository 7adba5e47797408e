//! Owns shards, runs durable workers and serves the public API.
//!
//! * [`component`] – from uploaded bytes to something that can be instantiated
//! * [`host`] – the wasm host: runs one worker's component, durably
//! * [`journal`] – the oplog of one loaded worker
//! * [`replay`] – matching what the guest does with its oplog

pub mod component;
pub mod host;
pub mod journal;
pub mod replay;
