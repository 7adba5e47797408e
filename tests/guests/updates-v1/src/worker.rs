//! A counter in three versions. The second replays what the first has recorded and loads its snapshots; the third does
//! neither.

use std::{cell::Cell, time::Duration};

use crate::{
    bindings::{
        exports::{
            golem::api::{load_snapshot, save_snapshot},
            test::updates::api,
        },
        wasi::random::random,
    },
    VERSION,
};

/// The version that can take nothing over.
const INCOMPATIBLE: u64 = 3;
/// What each version after the first adds to the results of long calls.
const ADDED: u64 = 1000;

thread_local! {
    static TOTAL: Cell<u64> = const { Cell::new(0) };
}

pub struct Worker;

impl api::Guest for Worker {
    fn version() -> u64 {
        VERSION
    }

    fn increment(by: u64) -> u64 {
        if VERSION == INCOMPATIBLE {
            // A host call that no other version makes.
            random::get_random_u64();
        }
        TOTAL.set(TOTAL.get() + by);
        TOTAL.get()
    }

    fn get() -> u64 {
        TOTAL.get()
    }

    fn count_slowly(steps: u64, pause_ms: u64) -> u64 {
        for _ in 0..steps {
            std::thread::sleep(Duration::from_millis(pause_ms));
            TOTAL.set(TOTAL.get() + 1);
            println!("counted {}", TOTAL.get());
        }
        TOTAL.get() + ADDED * (VERSION - 1)
    }

    fn fragile() -> u64 {
        if VERSION == 1 {
            panic!("the first version cannot do this");
        }
        TOTAL.get()
    }
}

impl save_snapshot::Guest for Worker {
    fn save() -> Vec<u8> {
        // Not recorded, hence harmless.
        random::get_random_u64();
        TOTAL.get().to_be_bytes().to_vec()
    }
}

impl load_snapshot::Guest for Worker {
    fn load(bytes: Vec<u8>) -> Result<(), String> {
        if VERSION == INCOMPATIBLE {
            return Err("this version loads nothing".to_owned());
        }
        random::get_random_u64();
        let bytes = bytes.try_into().map_err(|_| "not eight bytes".to_owned())?;
        TOTAL.set(u64::from_be_bytes(bytes));
        Ok(())
    }
}
