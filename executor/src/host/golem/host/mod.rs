//! `golem:api/host`, in all its versions and both dialects.
//!
//! * `identity` – who a worker is, and others
//! * `control` – updates, copies, going back
//! * `promises` – values that come from outside, later
//! * `position` – where the worker stands in its oplog, and going back
//! * `workers` – lists of workers
//! * `policy` – what the guest chooses about retries, persistence and idempotence

mod control;
mod identity;
mod policy;
mod position;
mod promises;
mod workers;

pub(in crate::host::golem) use identity::metadata_of;
pub(in crate::host::golem) use policy::level_value;

use crate::host::dynamic::Interface;

/// Versions of `golem:api` in the field.
pub(super) const VERSIONS: &[&str] = &["0.2.", "1.1."];

pub(super) fn interface() -> Interface {
    let interface = Interface::new("golem:api/host", VERSIONS);
    let interface = identity::add(interface);
    let interface = promises::add(interface);
    let interface = position::add(interface);
    let interface = workers::add(interface);
    let interface = control::add(interface);
    policy::add(interface)
}
