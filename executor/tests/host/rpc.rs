//! Calls of other workers, with a crash at every entry: whatever is lost, each call reaches its callee once.

use std::{collections::BTreeMap, sync::Arc};

use kiln_executor::host::{Callees, GuestCall, Heritage, Invocation, ScheduledCall};
use kiln_proto::{
    Error,
    ids::{IdempotencyKey, OplogIndex, WorkerId},
    v1::{Value, oplog_entry::Entry, value::Kind},
};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::fixture::{Worker, built, ok};

/// Workers that answer each key once, and remember it.
#[derive(Default)]
struct Played(Mutex<Calls>);

#[derive(Default, Clone, PartialEq, Debug)]
struct Calls {
    made: Vec<WorkerId>,
    called: BTreeMap<Uuid, (WorkerId, u64)>,
    sent: BTreeMap<Uuid, WorkerId>,
    scheduled: BTreeMap<Uuid, u64>,
}

#[async_trait::async_trait]
impl Callees for Played {
    async fn create(&self, worker: &WorkerId, heritage: &Heritage) -> Result<(), Error> {
        assert_eq!(heritage.parent.name.as_str(), "w1");
        let mut calls = self.0.lock();
        if !calls.made.contains(worker) {
            calls.made.push(worker.clone());
        }
        Ok(())
    }

    async fn call(&self, call: &GuestCall) -> Result<Option<Value>, Error> {
        let mut calls = self.0.lock();
        let number = calls.called.len() as u64 + 1;
        let (_, answer) = calls
            .called
            .entry(call.key)
            .or_insert((call.worker.clone(), number));
        Ok(Some(Value {
            kind: Some(Kind::U64Value(*answer)),
        }))
    }

    async fn send(&self, call: &GuestCall) -> Result<(), Error> {
        self.0.lock().sent.insert(call.key, call.worker.clone());
        Ok(())
    }

    async fn schedule(&self, call: &GuestCall, due_ns: u64) -> Result<(), Error> {
        self.0.lock().scheduled.insert(call.key, due_ns);
        Ok(())
    }

    async fn cancel(&self, scheduled: &ScheduledCall) -> Result<(), Error> {
        self.0.lock().scheduled.remove(&scheduled.key);
        Ok(())
    }
}

async fn run(worker: &Worker) -> String {
    let mut instance = worker.start().await;
    instance.enter(Invocation {
        key: IdempotencyKey::new("one and the same").expect("a valid key"),
        ..Invocation::default()
    });
    let mut results = vec![
        ok(&mut instance, "call-add", &["\"a\"", "5"]).await,
        ok(&mut instance, "send-add", &["\"b\"", "5"]).await,
    ];
    ok(&mut instance, "schedule-add", &["\"f\"", "1000", "5"]).await;
    ok(&mut instance, "schedule-and-cancel", &["\"g\"", "1000", "5"]).await;
    results.push(ok(&mut instance, "call-add", &["\"h\"", "5"]).await);
    // Last, because how often it asks for a result depends on time.
    results.push(ok(&mut instance, "add-everywhere", &["[\"c\", \"d\", \"e\"]", "5"]).await);
    results.join(" ")
}

#[tokio::test]
async fn a_crash_at_any_entry_repeats_no_call() {
    let played = Arc::<Played>::default();
    let mut worker = Worker::of(built("rpc")).await;
    worker.context.callees = played.clone();
    worker.context.env = vec![("GOLEM_COMPONENT_ID".into(), Uuid::from_u128(7).to_string())];
    let first = run(&worker).await;
    let calls = played.0.lock().clone();
    assert_eq!(
        (calls.called.len(), calls.sent.len(), calls.scheduled.len()),
        (5, 1, 1)
    );
    for cut in (1..worker.oplog.last().0).rev() {
        worker.oplog.truncate(OplogIndex(cut));
        let again = run(&worker).await;
        let now = played.0.lock().clone();
        assert_eq!(
            (now.called.len(), now.sent.len()),
            (5, 1),
            "crash after entry {cut}"
        );
        // The time is read anew when the entry that says it is lost; the call stays one.
        assert_eq!(
            now.scheduled.keys().collect::<Vec<_>>(),
            calls.scheduled.keys().collect::<Vec<_>>()
        );
        assert_eq!(again, first, "crash after entry {cut}");
    }
}

#[tokio::test]
async fn each_call_is_recorded_under_its_names() {
    let mut worker = Worker::of(built("rpc")).await;
    worker.context.callees = Arc::<Played>::default();
    worker.context.env = vec![("GOLEM_COMPONENT_ID".into(), Uuid::from_u128(7).to_string())];
    run(&worker).await;
    let entries = worker.oplog.entries().expect("decodable entries");
    let names: Vec<&str> = entries
        .iter()
        .filter_map(|entry| match &entry.entry {
            Some(Entry::ImportedFunctionInvoked(call)) => Some(call.function_name.as_str()),
            _ => None,
        })
        .filter(|name| name.starts_with("golem::rpc"))
        .collect();
    let key = "golem::rpc::wasm-rpc::invoke-and-await idempotency key";
    let result = "golem::rpc::wasm-rpc::invoke-and-await result";
    let schedule = "golem::rpc::wasm-rpc::schedule_invocation";
    let expected = [
        key,
        result,
        key,
        "golem::rpc::wasm-rpc::invoke",
        key,
        schedule,
        key,
        schedule,
        "golem::rpc::cancellation-token::cancel",
        key,
        result,
        key,
        key,
        key,
    ];
    assert_eq!(names[..expected.len()], expected);
    // Each result is fetched, some perhaps before they are there.
    let gets = &names[expected.len()..];
    assert!((3..=6).contains(&gets.len()), "{gets:?}");
    assert!(
        gets.iter()
            .all(|name| *name == "golem::rpc::future-invoke-result::get")
    );
}
