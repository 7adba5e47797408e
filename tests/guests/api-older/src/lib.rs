//! Uses `golem:api` 1.1.0, `golem:durability` 1.2.0 and `golem:rpc` 0.1.

#[rustfmt::skip]
mod bindings;

use bindings::exports::test::versions::api::Guest;
use bindings::golem::api::host::{self, GetWorkers, RetryPolicy, StringFilterComparator, WorkerAllFilter, WorkerAnyFilter, WorkerNameFilter, WorkerPropertyFilter};
use bindings::golem::api::oplog::{GetOplog, OplogEntry, SearchOplog};
use bindings::golem::durability::durability::{self, DurableFunctionType, OplogEntryVersion};
use bindings::golem::rpc::types::{Uri, WasmRpc, WitNode};

struct Older;

impl Guest for Older {
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
            max_jitter_factor: Some(0.25),
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
        "pong of 1.1.0".into()
    }

    fn special() -> Vec<String> {
        vec![durable(), read(), search()]
    }
}

/// A call of its own that is recorded, without the newer arguments.
fn durable() -> String {
    let kind = DurableFunctionType::WriteRemote;
    let begin = durability::begin_durable_function(kind);
    let state = durability::current_durable_execution_state();
    let answer = if state.is_live {
        let answer = b"recorded".to_vec();
        durability::persist_durable_function_invocation("test::older::own", b"asked", &answer, kind);
        answer
    } else {
        let persisted = durability::read_persisted_durable_function_invocation();
        assert_eq!(persisted.function_name, "test::older::own");
        assert_eq!(persisted.entry_version, OplogEntryVersion::V2);
        persisted.response
    };
    durability::end_durable_function(kind, begin);
    String::from_utf8(answer).expect("a text")
}

/// The kinds of the first entries, which have no names of their authors here.
fn read() -> String {
    let reading = GetOplog::new(&host::get_self_metadata().worker_id, 1);
    let page = reading.get_next().expect("a first page");
    let kind = |entry: &OplogEntry| match entry {
        OplogEntry::Create(create) => format!("create {} {}", create.worker_id.worker_name, create.account_id.value),
        OplogEntry::PendingWorkerInvocation(_) => "pending".to_owned(),
        OplogEntry::ExportedFunctionInvoked(call) => call.function_name.clone(),
        _ => "other".to_owned(),
    };
    let kinds: Vec<String> = page.iter().take(3).map(kind).collect();
    kinds.join(", ")
}

fn search() -> String {
    let search = SearchOplog::new(&host::get_self_metadata().worker_id, "test::older::own");
    let page = search.get_next().expect("the own call is found");
    match &page[0].1 {
        OplogEntry::ImportedFunctionInvoked(call) => call.function_name.clone(),
        _ => "another entry".to_owned(),
    }
}

bindings::export!(Older with_types_in bindings);
