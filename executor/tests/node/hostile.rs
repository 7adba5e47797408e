use std::time::{Duration, Instant};

use kiln_executor::{Limits, host::GuestLimits};
use kiln_proto::v1::WorkerStatus;

use crate::node::Node;

/// Far below the time that a neighbour would wait if a guest could hold a thread, far above what a busy machine needs.
const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that a hostile guest does, and what its caller is told.
const ATTACKS: &[(&str, &[&str], &str)] = &[
    ("spin", &[], "processor time"),
    ("spin-on-host", &[], "processor time"),
    ("devour", &[], "out of memory"),
    ("recurse", &[], "call stack exhausted"),
    ("flood", &["100"], "too much output"),
    ("hoard", &[], "too many resources"),
    ("shout", &["3000000"], "a log message of 3000000 bytes"),
    ("random", &["9000000"], "random bytes asked for at once"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_guests_are_stopped_and_their_neighbour_stays_quick() {
    let guest = GuestLimits {
        invocation_cpu_max: Duration::from_secs(4),
        log_bytes_max: 1 << 20,
        resources_max: 10_000,
        ..GuestLimits::default()
    };
    let node = Node::start_bounded(Limits::default(), guest).await;
    node.upload("hostile").await;
    node.wave("hostile/neighbour", "api.{count}", &[]).await.unwrap();
    let attacks = ATTACKS.iter().map(|(function, arguments, text)| {
        let (worker, function) = (format!("hostile/{function}"), format!("api.{{{function}}}"));
        let node = &node;
        async move {
            let error = node.wave(&worker, &function, arguments).await.unwrap_err();
            assert!(error.message.contains(text), "{function}: {}", error.message);
            // None is tried again: it would end the same way.
            let info = node.until(&worker, WorkerStatus::Failed).await;
            assert!(info.last_error.unwrap().contains(text));
        }
    });
    let attacks = futures::future::join_all(attacks);
    tokio::pin!(attacks);
    let mut slowest = Duration::ZERO;
    let mut calls = 0;
    loop {
        let began = Instant::now();
        let call = node.wave("hostile/neighbour", "api.{count}", &[]);
        tokio::select! {
            counted = call => counted.unwrap(),
            _ = &mut attacks => break,
        };
        slowest = slowest.max(began.elapsed());
        calls += 1;
    }
    assert!(calls > 10, "{calls} calls");
    assert!(slowest < NEIGHBOUR_PATIENCE, "a neighbour waited {slowest:?}");
    println!("{calls} calls of a neighbour, the slowest took {slowest:?}");
}
