//! A worker whose only state is one number in its linear memory.

#[rustfmt::skip]
mod bindings;

use std::cell::Cell;

use bindings::exports::test::counter::api::Guest;

thread_local! {
    static TOTAL: Cell<u64> = const { Cell::new(0) };
}

struct Counter;

impl Guest for Counter {
    fn increment(by: u64) -> u64 {
        let total = TOTAL.get() + by;
        TOTAL.set(total);
        total
    }

    fn get() -> u64 {
        TOTAL.get()
    }
}

bindings::export!(Counter with_types_in bindings);
