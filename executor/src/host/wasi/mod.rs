//! WASI interfaces whose results are recorded: what a guest learns from outside is read from the oplog on replay. One file
//! an interface. All others come from wasmtime-wasi as they are and run again on replay.

pub(super) mod config;
mod environment;
mod exit;
pub(super) mod filesystem;
pub(super) mod http;
mod insecure;
mod insecure_seed;
pub(super) mod ip_name_lookup;
pub(super) mod logging;
mod monotonic_clock;
mod poll;
mod random;
pub(super) mod sockets;
pub(super) mod streams;
mod wall_clock;
