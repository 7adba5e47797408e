//! A durable counter. There is nothing durable to be seen in it: the number lives in plain memory, and Kiln brings it
//! back by running the recorded calls again wherever the worker continues.

use std::cell::Cell;

wit_bindgen::generate!({ world: "counter", path: "wit" });

thread_local! {
    static TOTAL: Cell<u64> = const { Cell::new(0) };
}

struct Counter;

impl exports::test::counter::api::Guest for Counter {
    fn increment(by: u64) -> u64 {
        let total = TOTAL.get() + by;
        TOTAL.set(total);
        total
    }

    fn get() -> u64 {
        TOTAL.get()
    }
}

export!(Counter);
