//! The wasm host: runs one worker's component, durably. Knows no Raft; the oplog is a [`Journal`](crate::journal::Journal).
//!
//! * [`Engine`] – wasmtime, set up for determinism and many small instances
//! * [`Instance`] – an instantiated component of one worker: start, call
//! * [`CallError`], [`StartError`] – how running a guest ends when it does not end well
//! * [`value`] – typed values: WAVE and JSON text, checks against signatures, wasmtime's own form
//! * [`idempotency`] – keys of what a worker does to others
//! * [`env`] – the environment variables that a guest sees
//! * `wasi` – the WASI interfaces whose results are recorded, one file each

mod durable;
pub mod engine;
pub mod env;
mod error;
mod failure;
pub mod idempotency;
mod instance;
mod interrupt;
mod limiter;
mod linker;
mod outside;
mod payload;
mod resources;
mod state;
mod stdio;
pub mod value;
mod wasi;

pub use engine::{Engine, EngineError, HostOptions};
pub use error::{CallError, StartError, TrapKind};
pub use instance::{Instance, WorkerContext};
pub use interrupt::Interrupter;
pub(crate) use linker::{is_offered, linker};
pub use outside::{Outside, SystemOutside};
pub(crate) use state::HostState;
