//! Uses `golem:api` 1.1.6 and `golem:rpc` 0.2.0.

#[rustfmt::skip]
mod bindings;

use bindings::exports::test::versions::api::Guest;
use bindings::golem::api::context;
use bindings::golem::api::host::{self, GetWorkers, RetryPolicy, StringFilterComparator, WorkerAllFilter, WorkerAnyFilter, WorkerNameFilter, WorkerPropertyFilter};
use bindings::golem::api::oplog::{GetOplog, OplogEntry};
use bindings::golem::rpc::types::{WasmRpc, WitNode};

struct Old;

impl Guest for Old {
    fn me() -> String {
        let me = host::get_self_metadata();
        format!("{} {:?} {}", me.worker_id.worker_name, me.status, me.component_version)
    }

    fn policy() -> String {
        host::set_retry_policy(RetryPolicy {
            max_attempts: 7,
            min_delay: 1_000,
            max_delay: 2_000,
            multiplier: 1.5,
            max_jitter_factor: None,
        });
        let policy = host::get_retry_policy();
        format!("{} {} {:?}", policy.max_attempts, policy.multiplier, policy.max_jitter_factor)
    }

    fn workers(part: String) -> Vec<String> {
        let named = WorkerNameFilter { comparator: StringFilterComparator::Like, value: part };
        let filter = WorkerAnyFilter {
            filters: vec![WorkerAllFilter { filters: vec![WorkerPropertyFilter::Name(named)] }],
        };
        let own = host::get_self_metadata().worker_id.component_id;
        let listing = GetWorkers::new(own, Some(&filter), true);
        let mut names = Vec::new();
        while let Some(page) = listing.get_next() {
            names.extend(page.into_iter().map(|worker| worker.worker_id.worker_name));
        }
        names.sort();
        names
    }

    fn promise() -> Vec<u8> {
        let promise = host::create_promise();
        assert_eq!(host::poll_promise(&promise), None);
        assert!(host::complete_promise(&promise, b"kept"));
        let value = host::await_promise(&promise);
        assert_eq!(host::poll_promise(&promise), Some(value.clone()));
        value
    }

    fn peer(worker: String) -> String {
        let mut id = host::get_self_metadata().worker_id;
        id.worker_name = worker;
        let there = WasmRpc::new(&id);
        let answer = there.invoke_and_await("test:versions/api@0.1.0.{ping}", &[]).expect("an answer");
        match &answer.nodes[..] {
            [WitNode::TupleValue(_), WitNode::PrimString(text)] => text.clone(),
            other => format!("{other:?}"),
        }
    }

    fn ping() -> String {
        "pong of 1.1.6".into()
    }

    fn special() -> Vec<String> {
        let span = context::start_span("own");
        let headers = context::current_context().trace_context_headers();
        span.finish();
        let reading = GetOplog::new(&host::get_self_metadata().worker_id, 1);
        let page = reading.get_next().expect("a first page");
        let created = match &page[0] {
            OplogEntry::Create(create) => create.worker_id.worker_name.clone(),
            _ => "another entry".to_owned(),
        };
        let completed = page.iter().any(|entry| match entry {
            OplogEntry::ExportedFunctionCompleted(done) => !done.response.nodes.is_empty(),
            _ => false,
        });
        vec![headers[0].0.clone(), created, format!("completed {completed}")]
    }
}

bindings::export!(Old with_types_in bindings);
