//! Client stubs: interfaces that are generated from another component's exports, so that a guest calls its workers by typed
//! functions. No code stands behind them; they are linked to remote calls here.
//!
//! An interface `shop:cart` with a function `add` and a resource `receipt` becomes `shop:cart-client/…` with a resource for the
//! interface and one for each resource of it:
//!
//! ```wit
//! resource api {
//!     constructor(worker-name: string);                        // or `location: uri`, or nothing for an ephemeral component
//!     custom: static func(worker-id: worker-id) -> api;
//!     blocking-add: func(item: item) -> u32;                   // calls and waits
//!     add: func(item: item) -> future-add-result;              // begins a call; without a result it only queues it
//!     schedule-add: func(item: item, scheduled-for: datetime) -> cancellation-token;
//! }
//! resource future-add-result { subscribe: func() -> pollable; get: func() -> option<u32>; }
//! resource receipt { constructor(worker-name: string, …arguments of the resource's own constructor); … }
//! ```
//!
//! * `role` – what a declared function stands for
//! * `bind` – linking them
//! * `connect` – finding the component and the worker
//! * `calls` – what the functions do
//! * `by_handle` – resources of a worker as arguments and results

mod bind;
mod by_handle;
mod calls;
mod connect;
mod role;

pub(crate) use bind::bind_clients;
pub(crate) use connect::default_components;

use kiln_proto::{ids::WorkerId, v1::Value};
use std::sync::Arc;

use crate::host::{dynamic::ResourceKind, value::Type};

/// Endings of the packages that hold clients; the second is of older generators.
const ENDINGS: [&str; 2] = ["-client", "-stub"];

/// A function that a guest calls through a client, as the client declares it.
pub(crate) struct ClientCall {
    /// The interface of the client.
    pub(crate) import: Arc<str>,
    /// What its resource is called: like an interface of the component, or like a resource there.
    pub(crate) resource: Arc<str>,
    pub(crate) function: Arc<str>,
    /// Types of the arguments.
    pub(crate) params: Vec<Type>,
    /// That of the result, where the declaration says it.
    pub(crate) result: Option<Type>,
}

/// A resource of a client, as a guest holds it.
const CLIENT: ResourceKind = ResourceKind::of::<Client>(43);

/// The other end of a client.
#[derive(Clone)]
struct Client {
    worker: WorkerId,
    /// The name of its type: that of an interface, or of a resource there.
    resource: Arc<str>,
    /// The resource at the worker that it stands for, if it is not an interface.
    remote: Option<Value>,
}

impl Client {
    /// The function as the callee knows it.
    fn function(&self, name: &str) -> String {
        let resource = &self.resource;
        match self.remote {
            Some(_) => format!("{{{resource}.{name}}}"),
            None => format!("{resource}.{{{name}}}"),
        }
    }
}

/// True for an interface of a client package.
pub(crate) fn is_client(import: &str) -> bool {
    served_package(import).is_some()
}

/// The package whose exports a client was made from: `shop:cart` of `shop:cart-client/cart-client@1.0.0`.
fn served_package(import: &str) -> Option<&str> {
    let (package, _) = import.split_once('/')?;
    let served = ENDINGS.iter().find_map(|ending| package.strip_suffix(ending))?;
    served.contains(':').then_some(served)
}

/// True when a function can be one of a client, by its name.
pub(crate) fn is_client_function(name: &str) -> bool {
    match name.strip_prefix("[static]") {
        Some(function) => function.ends_with(".custom"),
        None => name.starts_with("[constructor]") || name.starts_with("[method]"),
    }
}

/// The name of an import under which its component is configured: that without a version.
pub(crate) fn unversioned(import: &str) -> &str {
    import.split_once('@').map_or(import, |(name, _)| name)
}
