//! The wasm host: runs one worker's component, durably. Knows no Raft; the oplog is a [`Journal`](crate::journal::Journal).
//!
//! * [`Engine`] – wasmtime, set up for determinism and many small instances
//! * [`Instance`] – an instantiated component of one worker: start, call
//! * [`CallError`], [`StartError`] – how running a guest ends when it does not end well
//! * [`Cluster`] – what the host asks of others on behalf of a guest
//! * [`Callees`] – the workers that a guest calls
//! * [`Wait`] – what a guest waits for that may take long
//! * [`value`] – typed values: WAVE and JSON text, checks against signatures, wasmtime's own form
//! * [`idempotency`] – keys of what a worker does to others
//! * [`GuestLimits`], [`Room`] – what a guest may use, and the memory of the node that it shares
//! * [`env`] – the environment variables that a guest sees
//! * `dynamic` – interfaces that exist in several shapes, bound by the shape that a component declares
//! * `golem` – the runtime interfaces of `golem:*`
//! * `keyvalue`, `blobstore` – storage of applications, one interface a file; [`Storage`] – where it is kept
//! * [`egress`] – where guests may connect to
//! * `wasi` – the WASI interfaces whose results are recorded, one file each

mod blobstore;
mod callees;
mod cluster;
mod content_stream;
mod control;
mod durable;
mod dynamic;
pub mod egress;
pub mod engine;
pub mod env;
mod error;
mod failure;
mod golem;
pub mod idempotency;
mod instance;
mod interrupt;
mod keyvalue;
mod leave;
mod limiter;
mod limits;
mod linker;
mod network;
mod outside;
mod payload;
mod processor;
mod recorded;
mod resources;
mod room;
mod snapshot;
mod spans;
mod spool;
mod stand_in;
mod state;
mod stdio;
mod storage;
pub mod value;
mod waits;
mod wasi;

pub use callees::{Callees, GuestCall, Heritage, ScheduledCall};
pub use cluster::{Cluster, NoCluster, WorkersPage, WorkersQuery};
pub(crate) use content_stream::ContentRange;
pub use control::Failures;
pub(crate) use dynamic::{Catalog, Imported, each_import, names_in_dialects};
pub use engine::{Engine, EngineError, HostOptions};
pub use error::{CallError, StartError, TrapKind};
pub(crate) use golem::{
    Batch, CALL_SPAN, CONNECTION_SPAN, ClientCall, RpcStep, bind_clients, default_components, is_client,
    is_client_function, processor_arguments, processor_introduction, rpc_span_id, unversioned,
};
pub use instance::{Instance, SUSPEND_AFTER_DEFAULT, WorkerContext};
pub use interrupt::Interrupter;
pub use leave::Wait;
pub use limits::GuestLimits;
pub(crate) use linker::{catalog, is_offered, linker};
pub use network::{HttpOptions, NetworkOptions};
pub use outside::{Outside, SystemOutside};
pub use room::{Room, Unbounded};
pub use snapshot::SnapshotError;
pub(crate) use spans::{call_span_id, invocation_span};
pub(crate) use state::HostState;
pub use state::Invocation;
pub use storage::{Content, NoStorage, ObjectName, Storage, StorageLimits};
pub use wasi::filesystem::{FilesError, Found, InitialFile};
pub(crate) use wasi::http::{HANDLER_EXPORTED, HANDLER_INTERFACE, handler_signature};
