//! Version 1 of a worker that is moved from version to version; see `updates-v1/src/worker.rs`.

#[rustfmt::skip]
mod bindings;
#[path = "../../updates-v1/src/worker.rs"]
mod worker;

/// Which version this is.
const VERSION: u64 = 1;

bindings::export!(Worker with_types_in bindings);

use worker::Worker;
