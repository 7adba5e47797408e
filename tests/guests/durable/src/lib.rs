//! Says how durable it wants to be, and shows what came of it.

#[rustfmt::skip]
mod bindings;

use std::{cell::Cell, time::Duration};

use bindings::{
    exports::test::durable::api::Guest,
    golem::{
        api::host::{self, PersistenceLevel, PromiseId, RetryPolicy},
        rpc::types::WorkerId,
    },
    wasi::random::random::get_random_u64,
};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() -> u64 {
    COUNT.set(COUNT.get() + 1);
    COUNT.get()
}

fn worker(name: String) -> WorkerId {
    WorkerId {
        component_id: host::get_self_metadata().worker_id.component_id,
        worker_name: name,
    }
}

fn promise(name: String, index: u64) -> PromiseId {
    PromiseId {
        worker_id: worker(name),
        oplog_idx: index,
    }
}

struct Durable;

impl Guest for Durable {
    fn keys() -> Vec<(u64, u64)> {
        let key = || {
            let key = host::generate_idempotency_key();
            (key.high_bits, key.low_bits)
        };
        vec![key(), key()]
    }

    fn whoami() -> String {
        let me = host::get_self_metadata();
        format!(
            "{} {:?} {} {}",
            me.worker_id.worker_name,
            me.status,
            me.component_version,
            me.env.len()
        )
    }

    fn status_of(name: String) -> Option<String> {
        host::get_worker_metadata(&worker(name)).map(|found| format!("{:?}", found.status))
    }

    fn find(component: String, name: String, strict: bool) -> Option<String> {
        let found = if strict {
            host::resolve_worker_id_strict(&component, &name)
        } else {
            host::resolve_worker_id(&component, &name)
        };
        found.map(|found| found.worker_name)
    }

    fn list_workers(only_idle: bool, precise: bool) -> Vec<String> {
        let component = host::get_self_metadata().worker_id.component_id;
        let filter = only_idle.then(|| host::WorkerAnyFilter {
            filters: vec![host::WorkerAllFilter {
                filters: vec![host::WorkerPropertyFilter::Status(host::WorkerStatusFilter {
                    comparator: host::FilterComparator::Equal,
                    value: host::WorkerStatus::Idle,
                })],
            }],
        });
        let listing = host::GetWorkers::new(component, filter.as_ref(), precise);
        let mut names = Vec::new();
        while let Some(page) = listing.get_next() {
            names.extend(page.into_iter().map(|found| found.worker_id.worker_name));
        }
        names.sort();
        names
    }

    fn make_promise() -> u64 {
        host::create_promise().oplog_idx
    }

    fn await_(worker: String, index: u64) -> Vec<u8> {
        host::await_promise(&promise(worker, index))
    }

    fn poll(worker: String, index: u64) -> Option<Vec<u8>> {
        host::poll_promise(&promise(worker, index))
    }

    fn complete(worker: String, index: u64, data: Vec<u8>) -> bool {
        host::complete_promise(&promise(worker, index), &data)
    }

    fn forget(worker: String, index: u64) {
        host::delete_promise(&promise(worker, index));
    }

    fn sleep(ms: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(ms));
        count()
    }

    fn journey() -> Vec<(String, u64)> {
        let mut seen = Vec::new();
        let mut see = |what: &str, number: u64| seen.push((what.to_owned(), number));
        see("before", get_random_u64());
        let begin = host::mark_begin_operation();
        see("inside", get_random_u64());
        see("inside too", get_random_u64());
        host::mark_end_operation(begin);
        see("between", get_random_u64());
        host::set_oplog_persistence_level(PersistenceLevel::PersistNothing);
        get_random_u64();
        host::set_oplog_persistence_level(PersistenceLevel::Smart);
        see("key", host::generate_idempotency_key().low_bits);
        see("index", host::get_oplog_index());
        host::oplog_commit(3);
        see("after", get_random_u64());
        seen
    }

    fn until_even() -> u64 {
        let index = host::get_oplog_index();
        let number = get_random_u64();
        if number % 2 == 1 {
            host::set_oplog_index(index);
        }
        number
    }

    fn fail(attempts: u32, message: String) {
        host::set_retry_policy(RetryPolicy {
            max_attempts: attempts,
            min_delay: 1_000_000,
            max_delay: 5_000_000,
            multiplier: 1.0,
            max_jitter_factor: None,
        });
        get_random_u64();
        eprintln!("{message}");
        panic!("{message}");
    }

    fn fork(name: String, idempotent: bool) -> String {
        host::set_idempotence_mode(idempotent);
        let result = host::fork(&name);
        host::set_idempotence_mode(true);
        format!("{} {result:?} {}", host::get_self_metadata().worker_id.worker_name, count())
    }

    fn policy(attempts: u32) -> String {
        let before = host::get_retry_policy().max_attempts;
        host::set_retry_policy(RetryPolicy {
            max_attempts: attempts,
            min_delay: 1,
            max_delay: 2,
            multiplier: 3.0,
            max_jitter_factor: Some(0.5),
        });
        format!("{before} {:?}", host::get_retry_policy())
    }

    fn unpersisted() -> (u64, u64) {
        host::set_oplog_persistence_level(PersistenceLevel::PersistNothing);
        let inside = get_random_u64();
        host::set_oplog_persistence_level(PersistenceLevel::Smart);
        (inside, get_random_u64())
    }

    fn count() -> u64 {
        count()
    }
}

bindings::export!(Durable with_types_in bindings);
