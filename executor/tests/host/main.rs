//! The wasm host with real components: every toolchain's counter, all value kinds, effects and their replay, failures.

#![allow(clippy::panic, reason = "a test panics to fail")]

mod apis;
mod components;
mod counters;
mod crash;
mod effects;
mod failures;
mod files;
mod fixture;
mod limits;
mod memory_storage;
mod outgoing;
mod pool;
mod resources;
mod rpc;
mod server;
#[path = "../shared_guests/mod.rs"]
mod shared_guests;
mod storage;
mod toolchains;
mod values;
