use std::{
    fmt,
    time::{Duration, Instant},
};

use kiln_executor::{Limits, host::GuestLimits};
use kiln_proto::{Error, v1::WorkerStatus};

use crate::node::{Node, invocation};

/// What a neighbour may wait at most: far below the time that a guest which holds a thread would take, far above what a busy
/// machine needs.
const SLOWEST_MAX: Duration = Duration::from_secs(2);
/// What half of a neighbour's calls may take. Two threads are shared with guests that give way every 10 ms.
const MEDIAN_MAX: Duration = Duration::from_millis(250);

/// Within this time every attack is over.
const ATTACKED_MAX: Duration = Duration::from_secs(120);

/// Everything that a hostile guest does, and what its caller is told.
const ATTACKS: &[(&str, &[&str], &str)] = &[
    ("spin", &[], "processor time"),
    ("spin-on-host", &[], "processor time"),
    ("devour", &[], "out of memory"),
    ("recurse", &[], "call stack exhausted"),
    ("flood", &["100"], "too much output"),
    ("hoard", &[], "too many resources"),
    ("shout", &["3000000"], "a log message of 3000000 bytes"),
    ("shout", &["70000000"], "too much passed to the host"),
    ("random", &["9000000"], "random bytes asked for at once"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_guests_are_stopped_and_their_neighbour_stays_quick() {
    let guest = GuestLimits {
        invocation_cpu_max: Duration::from_secs(2),
        log_bytes_max: 1 << 20,
        resources_max: 10_000,
        ..GuestLimits::default()
    };
    let node = Node::start_bounded(Limits::default(), guest).await;
    node.upload("hostile").await;
    let quiet = Latencies::of(&node, tokio::time::sleep(Duration::from_secs(1))).await;
    let attacks = ATTACKS
        .iter()
        .enumerate()
        .map(|(number, (function, arguments, text))| {
            let (worker, function) = (format!("hostile/{number}"), format!("api.{{{function}}}"));
            let node = &node;
            async move {
                let call = invocation(&worker, &function, arguments, "");
                let error = Error::from(node.workers.clone().invoke(call).await.unwrap_err());
                assert!(error.message.contains(text), "{function}: {}", error.message);
                // None is tried again: it would end the same way.
                let info = node.until(&worker, WorkerStatus::Failed).await;
                assert!(info.last_error.unwrap().contains(text));
                let errors = node.search(&worker, "error", 100).await.unwrap();
                assert_eq!(errors.len(), 1, "{function}");
            }
        });
    // All together take their processor time, which comes slowly on a busy machine.
    let attacks = tokio::time::timeout(ATTACKED_MAX, futures::future::join_all(attacks));
    let attacked = Latencies::of(&node, async { attacks.await.expect("all are stopped") }).await;
    println!("calls of a neighbour without attacks: {quiet}; with them: {attacked}");
    assert!(attacked.0.len() > 10, "{attacked}");
    assert!(attacked.slowest() < SLOWEST_MAX, "a neighbour waits: {attacked}");
    assert!(attacked.at(50) < MEDIAN_MAX, "neighbours wait: {attacked}");
}

/// A handler of HTTP is an invocation like others: its time is counted, each time anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_ends_is_stopped() {
    let guest = GuestLimits {
        invocation_cpu_max: Duration::from_secs(1),
        ..GuestLimits::default()
    };
    let node = Node::start_bounded(Limits::default(), guest).await;
    node.upload("outgoing").await;
    let handle = async |worker: &str, path: &str| {
        let request = format!("{{method: \"GET\", uri: \"http://here{path}\", headers: [], body: none}}");
        let handler = "golem:http/incoming-handler.{handle}";
        node.wave(worker, handler, &[&request]).await
    };
    let error = handle("outgoing/endless", "/endless").await.unwrap_err();
    let text = "the invocation used more than 1 s of processor time";
    assert!(error.message.contains(text), "{}", error.message);
    let info = node.until("outgoing/endless", WorkerStatus::Failed).await;
    assert!(info.last_error.unwrap().contains(text));
    let errors = node.search("outgoing/endless", "error", 100).await.unwrap();
    assert_eq!(errors.len(), 1, "it is not tried again");
    for _ in 0..5 {
        let answer = handle("outgoing/busy", "/busy").await.unwrap();
        assert!(answer.contains("status: 201"), "{answer}");
    }
}

/// How long calls took, shortest first.
struct Latencies(Vec<Duration>);

impl Latencies {
    /// Calls a well-behaved worker until `meanwhile` has ended.
    async fn of(node: &Node, meanwhile: impl Future) -> Self {
        let mut taken = Vec::new();
        let mut meanwhile = std::pin::pin!(meanwhile);
        loop {
            let began = Instant::now();
            tokio::select! {
                counted = node.wave("hostile/neighbour", "api.{count}", &[]) => counted.unwrap(),
                _ = &mut meanwhile => break,
            };
            taken.push(began.elapsed());
        }
        taken.sort_unstable();
        Self(taken)
    }

    fn at(&self, percent: usize) -> Duration {
        self.0[self.0.len() * percent / 100]
    }

    fn slowest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, late, slowest) = (self.at(50), self.at(99), self.slowest());
        let calls = self.0.len();
        write!(
            f,
            "{calls} calls, p50 {median:.1?}, p99 {late:.1?}, slowest {slowest:.1?}"
        )
    }
}
