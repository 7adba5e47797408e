//! Is given the oplogs of other workers as `golem:api` 1.1.6 has it: through a resource that is made once.

#[rustfmt::skip]
mod bindings;
mod processor;

bindings::export!(Component with_types_in bindings);

use processor::Component;
