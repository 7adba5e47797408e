//! `golem:rpc/types`, in all its versions and both dialects: calls from worker to worker.
//!
//! * `plain` – ids and values, taken apart and put together
//! * `connection` – the resource that stands for another worker
//! * `call` – what a guest asks for, and the key under which it is done once
//! * `invoke` – calls that are waited for, and calls that are only queued
//! * `future` – calls whose result is fetched later
//! * `schedule` – calls that are made at a time
//! * `trace` – the spans that a callee inherits
//! * `client` – typed calls: interfaces that were generated from another component's exports
//! * `answer` – results and errors as guests see them

mod answer;
mod call;
mod client;
mod connection;
mod future;
mod invoke;
mod plain;
mod schedule;
mod trace;

pub(crate) use client::{
    ClientCall, bind_clients, default_components, is_client, is_client_function, unversioned,
};
pub(in crate::host) use future::PendingCall;
pub(crate) use trace::{CALL_SPAN, CONNECTION_SPAN, RpcStep, rpc_span_id};

use crate::host::dynamic::Interface;

/// Versions of `golem:rpc` in the field.
const VERSIONS: &[&str] = &["0.1.", "0.2."];

pub(super) fn interface() -> Interface {
    let interface = Interface::new("golem:rpc/types", VERSIONS);
    let interface = plain::add(interface);
    let interface = connection::add(interface);
    let interface = invoke::add(interface);
    let interface = future::add(interface);
    schedule::add(interface)
}
