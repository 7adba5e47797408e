//! Is given the oplogs of other workers as `golem:api` 1.1.0 has it.

#[rustfmt::skip]
mod bindings;
#[path = "../../processor-old/src/processor.rs"]
mod processor;

bindings::export!(Component with_types_in bindings);

use processor::Component;
