//! WASI interfaces whose results are recorded: what a guest learns from outside is read from the oplog on replay. One file
//! an interface. All others come from wasmtime-wasi as they are and run again on replay.

mod environment;
mod exit;
mod insecure;
mod insecure_seed;
mod monotonic_clock;
mod random;
mod wall_clock;
