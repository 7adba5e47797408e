//! The runtime interfaces of `golem:*`, one file a concept. What exists in several shapes is bound by shape (`dynamic`).
//!
//! * `host` – `golem:api/host`
//! * `shapes` – ids and records that these interfaces share

mod host;
mod shapes;

use super::dynamic::Catalog;

/// The interfaces that are bound by the shape in which a component declares them.
pub(in crate::host) fn catalog() -> Catalog {
    Catalog::new(vec![host::interface()])
}
