//! Does what a host has to stop.

#[rustfmt::skip]
mod bindings;

use std::cell::{Cell, RefCell};

use bindings::exports::test::hostile::api::Guest;
use bindings::wasi::{
    clocks::monotonic_clock,
    logging::logging::{self, Level},
    random::random,
};

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Hostile;

impl Guest for Hostile {
    fn spin() {
        loop {
            std::hint::black_box(());
        }
    }

    fn spin_on_host() {
        loop {
            std::hint::black_box(random::get_random_u64());
        }
    }

    fn devour() {
        let mut held: Vec<Vec<u8>> = Vec::new();
        loop {
            held.push(std::hint::black_box(vec![1; 1 << 20]));
        }
    }

    fn recurse() -> u64 {
        fn deeper(depth: u64) -> u64 {
            if depth == u64::MAX {
                return 0;
            }
            std::hint::black_box(deeper(std::hint::black_box(depth + 1)) + 1)
        }
        deeper(0)
    }

    fn flood(line_bytes: u32) {
        let line = "x".repeat(line_bytes as usize);
        loop {
            println!("{line}");
        }
    }

    fn hoard() {
        loop {
            std::mem::forget(monotonic_clock::subscribe_duration(1 << 60));
        }
    }

    fn shout(bytes: u32) {
        logging::log(Level::Info, "", &"x".repeat(bytes as usize));
    }

    fn random(bytes: u64) -> u64 {
        random::get_random_bytes(bytes).len() as u64
    }

    fn keep(bytes: u32) -> u64 {
        KEPT.with_borrow_mut(|kept| {
            kept.push(std::hint::black_box(vec![1; bytes as usize]));
            kept.iter().map(|bytes| bytes.len() as u64).sum()
        })
    }

    fn count() -> u64 {
        CALLS.set(CALLS.get() + 1);
        CALLS.get()
    }
}

bindings::export!(Hostile with_types_in bindings);
