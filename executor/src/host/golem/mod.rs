//! The runtime interfaces of `golem:*`, one file a concept. What exists in several shapes is bound by shape (`dynamic`).
//!
//! * `context` – `golem:api/context`
//! * `durability` – `golem:durability/durability`
//! * `host` – `golem:api/host`
//! * `oplog` – `golem:api/oplog`
//! * `rpc` – `golem:rpc/types`
//! * `shapes` – ids and records that these interfaces share

mod context;
mod durability;
mod host;
mod oplog;
mod rpc;
mod shapes;

pub(in crate::host) use context::finish_open_spans;
pub(crate) use oplog::{Batch, processor_arguments, processor_introduction};
pub(in crate::host) use rpc::PendingCall;
pub(crate) use rpc::{
    CALL_SPAN, CONNECTION_SPAN, ClientCall, RpcStep, bind_clients, default_components, is_client,
    is_client_function, rpc_span_id, unversioned,
};

use super::dynamic::Catalog;

/// The interfaces that are bound by the shape in which a component declares them.
pub(in crate::host) fn catalog() -> Catalog {
    Catalog::new(vec![
        host::interface(),
        oplog::interface(),
        durability::interface(),
        context::interface(),
        rpc::interface(),
    ])
}
