//! Waiting for free: promises and long sleeps unload the worker; what it waits for brings it back, exactly once.

use std::time::{Duration, Instant};

use kiln_executor::Limits;
use kiln_proto::v1::WorkerStatus;

use crate::node::{Node, invocation};

/// Guests that sleep longer are suspended in these tests.
const SUSPEND_AFTER: Duration = Duration::from_millis(100);

async fn node() -> Node {
    let limits = Limits {
        suspend_after: SUSPEND_AFTER,
        ..Limits::default()
    };
    let node = Node::start_with(limits).await;
    node.upload("durable").await;
    node
}

/// Queues a call without waiting for its end.
async fn begin(node: &Node, worker: &str, function: &str, arguments: &[&str], key: &str) {
    let mut request = invocation(worker, function, arguments, key);
    request.no_wait = true;
    node.invoke(request).await.unwrap();
}

async fn result(node: &Node, worker: &str, function: &str, arguments: &[&str], key: &str) -> String {
    let reply = node.call(worker, function, arguments, key).await.unwrap();
    reply
        .result
        .as_ref()
        .map(kiln_proto::convert::to_wave)
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_promise_of_a_worker_has_the_index_of_the_contract() {
    let node = node().await;
    assert_eq!(node.wave("durable/p", "make-promise", &[]).await.unwrap(), "4");
    assert_eq!(
        node.kinds("durable/p").await,
        [
            "create",
            "pending-worker-invocation",
            "exported-function-invoked",
            "imported-function-invoked",
            "exported-function-completed",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_its_promise_unloaded_and_goes_on_when_another_completes_it() {
    let node = node().await;
    node.wave("durable/w", "make-promise", &[]).await.unwrap();
    begin(&node, "durable/w", "await", &["\"w\"", "4"], "k").await;
    node.until("durable/w", WorkerStatus::Suspended).await;
    let node = node.restart().await;
    assert_eq!(
        node.get("durable/w").await.unwrap().status(),
        WorkerStatus::Suspended,
        "a restart does not wake it"
    );
    let complete = |worker: &'static str, data: &'static str| {
        let node = &node;
        async move {
            node.wave(worker, "complete", &["\"w\"", "4", data])
                .await
                .unwrap()
        }
    };
    assert_eq!(complete("durable/c1", "[1, 2]").await, "true");
    assert_eq!(complete("durable/c2", "[3]").await, "false", "the first one wins");
    let awaited = result(&node, "durable/w", "await", &["\"w\"", "4"], "k").await;
    assert_eq!(awaited, "[1, 2]");
    assert_eq!(
        node.wave("durable/w", "poll", &["\"w\"", "4"]).await.unwrap(),
        "some([1, 2])"
    );
    let suspensions = node
        .kinds("durable/w")
        .await
        .iter()
        .filter(|kind| *kind == "suspend")
        .count();
    assert_eq!(suspensions, 1, "it was woken once");
    let node = node.restart().await;
    assert_eq!(
        result(&node, "durable/w", "await", &["\"w\"", "4"], "k").await,
        "[1, 2]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_a_promise_of_another_on_any_shard() {
    let node = node().await;
    node.wave("durable/maker", "make-promise", &[]).await.unwrap();
    let waiters: Vec<String> = (0..8).map(|at| format!("durable/waiter-{at}")).collect();
    for waiter in &waiters {
        begin(&node, waiter, "await", &["\"maker\"", "4"], "k").await;
    }
    for waiter in &waiters {
        node.until(waiter, WorkerStatus::Suspended).await;
    }
    node.wave("durable/maker", "complete", &["\"maker\"", "4", "[7]"])
        .await
        .unwrap();
    for waiter in &waiters {
        assert_eq!(
            result(&node, waiter, "await", &["\"maker\"", "4"], "k").await,
            "[7]"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_is_unknown_fails_the_call_with_its_reason() {
    let node = node().await;
    let error = node
        .wave("durable/u", "poll", &["\"nobody\"", "4"])
        .await
        .unwrap_err();
    assert!(error.message.contains("promise"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_sleep_unloads_the_worker_and_ends_on_time() {
    let node = node().await;
    let started = Instant::now();
    begin(&node, "durable/s", "sleep", &["1500"], "k").await;
    let info = node.until("durable/s", WorkerStatus::Suspended).await;
    assert!(info.oplog_index > 3);
    assert_eq!(result(&node, "durable/s", "sleep", &["1500"], "k").await, "1");
    let slept = started.elapsed();
    assert!(slept >= Duration::from_millis(1500), "{slept:?}");
    assert!(slept < Duration::from_secs(10), "{slept:?}");
    // A short one is waited for in memory.
    assert_eq!(node.wave("durable/s", "sleep", &["10"]).await.unwrap(), "2");
    let suspensions = node
        .kinds("durable/s")
        .await
        .iter()
        .filter(|kind| *kind == "suspend")
        .count();
    assert_eq!(suspensions, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_that_ends_while_everything_is_down_is_not_lost() {
    let node = node().await;
    begin(&node, "durable/d", "sleep", &["500"], "k").await;
    node.until("durable/d", WorkerStatus::Suspended).await;
    let node = node.restart().await;
    node.until("durable/d", WorkerStatus::Idle).await;
    assert_eq!(result(&node, "durable/d", "sleep", &["500"], "k").await, "1");
}

/// Resident memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sleeping_workers_hold_no_instances_and_all_wake() {
    const WORKERS: usize = 10_000;
    const AT_ONCE: usize = 64;
    let node = node().await;
    // Long enough for all of them to fall asleep, on a busy machine too.
    let deadline = Instant::now() + Duration::from_secs(60);
    let warm = "durable/warm";
    node.wave(warm, "sleep", &["1"]).await.unwrap();
    let before = resident_bytes();
    let started = Instant::now();
    let node = std::sync::Arc::new(node);
    let calls = (0..WORKERS).map(|at| {
        let node = node.clone();
        async move {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            begin(
                &node,
                &format!("durable/n{at}"),
                "sleep",
                &[&left.to_string()],
                "k",
            )
            .await;
        }
    });
    futures::StreamExt::for_each_concurrent(futures::stream::iter(calls), AT_ONCE, |call| call).await;
    let asleep = started.elapsed();
    let grown = resident_bytes().saturating_sub(before);
    eprintln!(
        "{WORKERS} workers fell asleep in {asleep:?} and cost {} KiB each",
        grown / 1024 / WORKERS as u64
    );
    // An instance with its touched memory and a stack takes more than 64 KiB.
    assert!(grown / (WORKERS as u64) < 40 << 10, "{grown} bytes in all");
    let woken = (0..WORKERS).map(|at| {
        let node = node.clone();
        async move {
            let worker = format!("durable/n{at}");
            node.until(&worker, WorkerStatus::Idle).await;
        }
    });
    tokio::time::sleep_until(deadline.into()).await;
    futures::StreamExt::for_each_concurrent(futures::stream::iter(woken), AT_ONCE, |wake| wake).await;
}
