//! Does what a second run would do differently: reads clocks and randomness, prints, fails, leaves, never ends.

#[rustfmt::skip]
mod bindings;

use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bindings::exports::test::effects::api::Guest;
use bindings::wasi::{
    config::store,
    logging::logging::{self, Level},
    random::random,
};

thread_local! {
    static OBSERVED: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
}

struct Effects;

impl Guest for Effects {
    fn wall_clock() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }

    fn monotonic_step() -> u64 {
        Instant::now().elapsed().as_nanos() as u64
    }

    fn random_u64() -> u64 {
        random::get_random_u64()
    }

    fn random_bytes(count: u64) -> Vec<u8> {
        random::get_random_bytes(count)
    }

    fn env() -> Vec<(String, String)> {
        std::env::vars().collect()
    }

    fn args() -> Vec<String> {
        std::env::args().collect()
    }

    fn print(text: String) {
        println!("{text}");
    }

    fn eprint(text: String) {
        eprintln!("{text}");
    }

    fn log_variable(name: String) -> Option<String> {
        let value = store::get(&name).expect("variables can be read");
        logging::log(Level::Warn, &name, value.as_deref().unwrap_or("not there"));
        value
    }

    fn variables() -> Vec<(String, String)> {
        store::get_all().expect("variables can be read")
    }

    fn observe() -> u64 {
        let pair = (random::get_random_u64(), Self::wall_clock());
        OBSERVED.with_borrow_mut(|observed| {
            observed.push(pair);
            observed.len() as u64
        })
    }

    fn observed() -> Vec<(u64, u64)> {
        OBSERVED.with_borrow(Clone::clone)
    }

    fn sleep_ms(ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    fn trap(message: String) {
        panic!("{message}");
    }

    fn exit(code: i32) {
        std::process::exit(code);
    }

    fn spin() {
        loop {
            std::hint::black_box(());
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
}

bindings::export!(Effects with_types_in bindings);
