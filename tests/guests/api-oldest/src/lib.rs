//! Uses `golem:api` 0.2.0 and `golem:rpc` 0.1.

#[rustfmt::skip]
mod bindings;

use bindings::exports::test::versions::api::Guest;
use bindings::golem::api::host::{self, GetWorkers, RetryPolicy, StringFilterComparator, WorkerAllFilter, WorkerAnyFilter, WorkerNameFilter, WorkerPropertyFilter};
use bindings::golem::rpc::types::{Uri, WasmRpc, WitNode};

struct Oldest;

impl Guest for Oldest {
    fn me() -> String {
        let me = host::get_self_metadata();
        format!("{} {:?} {}", me.worker_id.worker_name, me.status, me.component_version)
    }

    fn policy() -> String {
        host::set_retry_policy(RetryPolicy { max_attempts: 7, min_delay: 1_000, max_delay: 2_000, multiplier: 1.5 });
        let policy = host::get_retry_policy();
        format!("{} {} {} {}", policy.max_attempts, policy.min_delay, policy.max_delay, policy.multiplier)
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
        assert!(host::complete_promise(&promise, b"kept"));
        let value = host::await_promise(&promise);
        host::delete_promise(&promise);
        value
    }

    fn peer(worker: String) -> String {
        let component = std::env::var("GOLEM_COMPONENT_ID").expect("every worker knows its component");
        let there = WasmRpc::new(&Uri { value: format!("urn:worker:{component}/{worker}") });
        let answer = there.invoke_and_await("test:versions/api@0.1.0.{ping}", &[]).expect("an answer");
        match &answer.nodes[..] {
            [WitNode::TupleValue(_), WitNode::PrimString(text)] => text.clone(),
            other => format!("{other:?}"),
        }
    }

    fn ping() -> String {
        "pong of 0.2.0".into()
    }

    fn special() -> Vec<String> {
        let uri = host::get_self_uri("ping").value;
        let (_, name) = uri.rsplit_once("/").expect("a URI of a worker");
        vec![name.to_owned()]
    }
}

bindings::export!(Oldest with_types_in bindings);
