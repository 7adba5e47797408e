//! `wasi:keyvalue` and `wasi:blobstore`: every function, live and after a crash at any entry of the oplog.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use kiln_executor::{
    host::Instance,
    journal::{Journal, MemoryOplog, OplogStore, Options, PageLimits},
};
use kiln_proto::{
    Error,
    ids::{Epoch, OplogIndex, WorkerId},
    v1::{OplogEntry, oplog_entry::Entry},
};
use parking_lot::Mutex;

use crate::{
    crash::run,
    fixture::{Worker, built, call, ok, shared},
    memory_storage::MemoryStorage,
};

type Calls<'a> = &'a [(&'a str, &'a [&'a str])];

/// An oplog that keeps, of each append, what a crash right before it would leave: how long the oplog is, and what is stored.
struct FilmedOplog {
    oplog: Arc<MemoryOplog>,
    storage: Arc<MemoryStorage>,
    crashes: Mutex<Vec<(OplogIndex, MemoryStorage)>>,
}

#[async_trait::async_trait]
impl OplogStore for FilmedOplog {
    async fn append(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        first: OplogIndex,
        entries: Vec<Bytes>,
    ) -> Result<(), Error> {
        self.crashes
            .lock()
            .push((self.oplog.last(), self.storage.as_it_is()));
        self.oplog.append(worker, epoch, first, entries).await
    }

    fn read(
        &self,
        worker: &WorkerId,
        from: OplogIndex,
        limits: PageLimits,
    ) -> Result<Vec<(OplogIndex, Bytes)>, Error> {
        self.oplog.read(worker, from, limits)
    }
}

async fn worker(bytes: Vec<u8>) -> (Worker, Arc<MemoryStorage>) {
    let mut worker = Worker::of(bytes).await;
    let storage = Arc::new(MemoryStorage::default());
    worker.context.storage = storage.clone();
    (worker, storage)
}

/// Runs calls once, and once more from every crash that could have come between: with the same results, and without
/// writing anything twice. The results, and how many crashes there were.
async fn crash_before_every_append(bytes: Vec<u8>, calls: Calls<'_>) -> (Vec<String>, usize) {
    let (worker, storage) = worker(bytes).await;
    let film = Arc::new(FilmedOplog {
        oplog: worker.oplog.clone(),
        storage: storage.clone(),
        crashes: Mutex::default(),
    });
    let options = Options::new(worker.context.id.clone(), Epoch(1), worker.oplog.last());
    let journal = Journal::open(film.clone(), options).expect("a readable oplog");
    let mut instance = worker.start_with(journal).await;
    let mut expected = Vec::new();
    for (function, arguments) in calls {
        expected.push(ok(&mut instance, function, arguments).await);
    }
    drop(instance);
    let crashes = std::mem::take(&mut *film.crashes.lock());
    let count = crashes.len();
    for (last, stored) in crashes {
        let mut crashed = worker.copy(last);
        let stored = Arc::new(stored);
        crashed.context.storage = stored.clone();
        let results = run(&crashed, calls).await;
        for (result, expected) in results.iter().zip(&expected) {
            assert_eq!(
                lines(result),
                lines(expected),
                "after a crash behind entry {}",
                last.0
            );
        }
        assert_eq!(
            stored.applied(),
            storage.applied(),
            "writes after a crash behind entry {}",
            last.0
        );
        assert_eq!(
            recorded_calls(&crashed),
            recorded_calls(&worker),
            "no call is recorded twice"
        );
    }
    (expected, count)
}

/// Entries that are hints, as how memory grew, come once more in another life.
fn recorded_calls(worker: &Worker) -> usize {
    let entries = worker.oplog.entries().expect("decodable entries");
    let is_call = |entry: &&OplogEntry| matches!(entry.entry, Some(Entry::ImportedFunctionInvoked(_)));
    entries.iter().filter(is_call).count()
}

async fn tour(instance: &mut Instance) -> String {
    ok(instance, "tour", &["\"t\""]).await
}

/// One that a failed assertion shows well.
fn lines(tour: &str) -> Vec<String> {
    let tour = tour.trim_start_matches("[\"").trim_end_matches("\"]");
    let plain = |line: &str| line.replace("\\\"", "\"");
    tour.split("\", \"").map(plain).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_entry_changes_no_result_and_repeats_no_write() {
    let (_, crashes) = crash_before_every_append(built("storage"), &[("tour", &["\"t\""])]).await;
    assert!(crashes > 60, "{crashes} crashes are no tour");
}

/// The same interfaces as three public toolchains use them.
async fn a_shared_guest_survives_a_crash_at_any_entry(guest: &str, calls: Calls<'_>, expected: &[&str]) {
    let (results, crashes) = crash_before_every_append(shared(guest), calls).await;
    assert_eq!(results, expected);
    assert!(crashes > 5, "{crashes} crashes");
}

const KEY_CALLS: Calls<'static> = &[
    ("kv", &["\"b\"", "\"k\"", "[1, 2, 3]"]),
    ("kv", &["\"b\"", "\"k\"", "[]"]),
    ("kv-batch", &["\"batch\"", "12"]),
];
const KEY_RESULTS: &[&str] = &[
    "some([1, 2, 3])",
    "some([])",
    r#"["k0", "k1", "k10", "k11", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"]"#,
];

async fn keys_and_blobs_survive_a_crash_at_any_entry(guest: &str) {
    let large: Vec<String> = (0..5000_u32).map(|number| (number % 251).to_string()).collect();
    let large = format!("[{}]", large.join(","));
    let blob_calls: Calls<'_> = &[
        ("blob", &["\"c\"", "\"o\"", large.as_str(), "4094", "4097"]),
        ("blob", &["\"c\"", "\"o\"", "[7, 8, 9]", "1", "100"]),
    ];
    let calls = [KEY_CALLS, blob_calls].concat();
    let expected = [KEY_RESULTS, &["[78, 79, 80, 81]", "[8, 9]"]].concat();
    a_shared_guest_survives_a_crash_at_any_entry(guest, &calls, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_rust_survives_a_crash_at_any_entry() {
    keys_and_blobs_survive_a_crash_at_any_entry("runtime-apis-rust").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_python_survives_a_crash_at_any_entry() {
    keys_and_blobs_survive_a_crash_at_any_entry("runtime-apis-py").await;
}

/// Without `blob`, which no host can run: its toolchain has put a function whose body is `unreachable` in the place of the
/// import `output-stream.blocking-write-and-flush` (`wasm-tools print` shows it), so that the guest traps on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_typescript_survives_a_crash_at_any_entry_of_keys() {
    a_shared_guest_survives_a_crash_at_any_entry("runtime-apis-ts", KEY_CALLS, KEY_RESULTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_function_does_what_its_interface_says() {
    let (worker, _) = worker(built("storage")).await;
    let tour = tour(&mut worker.start().await).await;
    let lines = lines(&tour);
    assert_eq!(lines, EXPECTED.lines().collect::<Vec<_>>());
}

/// What the guest's tour says of each call; the same on a whole node (`tests/node/storage.rs`).
const EXPECTED: &str = include_str!("../storage-tour.txt");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_contents_stay_out_of_the_oplog() {
    let (worker, _) = worker(built("storage")).await;
    let mut instance = worker.start().await;
    ok(&mut instance, "put", &["\"c\"", "\"o\"", "3000000", "1"]).await;
    let digest = ok(&mut instance, "digest", &["\"c\"", "\"o\"", "0", "2999999"]).await;
    ok(&mut instance, "hold", &["\"c\"", "\"o\""]).await;
    ok(&mut instance, "remove", &["\"c\"", "\"o\""]).await;
    assert_eq!(
        ok(&mut instance, "held", &[]).await,
        digest,
        "the value was opened before"
    );
    drop(instance);
    let bytes: usize = worker
        .oplog
        .entries()
        .expect("decodable entries")
        .iter()
        .map(prost::Message::encoded_len)
        .sum();
    assert!(bytes < 10_000, "{bytes} bytes of oplog");

    let mut instance = worker.start().await;
    ok(&mut instance, "put", &["\"c\"", "\"o\"", "3000000", "1"]).await;
    ok(&mut instance, "digest", &["\"c\"", "\"o\"", "0", "2999999"]).await;
    ok(&mut instance, "hold", &["\"c\"", "\"o\""]).await;
    ok(&mut instance, "remove", &["\"c\"", "\"o\""]).await;
    assert_eq!(
        ok(&mut instance, "held", &[]).await,
        digest,
        "and once more by a replay"
    );
}

/// A shard that does not answer is the worker's trouble while its retry policy has attempts left, and then the guest's error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_ends_the_attempt_and_then_is_an_error_of_the_interface() {
    let calls: Calls<'_> = &[
        ("set", &["\"b\"", "\"k\"", "\"v\""]),
        ("get", &["\"b\"", "\"k\""]),
        ("put", &["\"c\"", "\"o\"", "3000", "1"]),
        ("range", &["\"c\"", "\"o\"", "0", "0"]),
    ];
    let (mut worker, storage) = worker(built("storage")).await;
    let mut instance = worker.start().await;
    for (function, arguments) in calls {
        storage.outages.store(1, Ordering::Relaxed);
        let ended = call(&mut instance, function, arguments).await;
        ended.expect_err("the attempt ends");
        instance = worker.start().await;
        let mut again = Vec::new();
        for (earlier, arguments) in calls {
            again.push(ok(&mut instance, earlier, arguments).await);
            if earlier == function {
                break;
            }
        }
        assert!(
            again.iter().all(|result| result.starts_with("ok")),
            "{function}: {again:?}"
        );
    }
    worker.context.retry_policy.max_attempts = 1;
    let (fresh, storage) = (
        Worker {
            oplog: Arc::default(),
            ..worker
        },
        storage,
    );
    fresh.create().await;
    let mut instance = fresh.start().await;
    for (function, arguments) in calls {
        storage.outages.store(1, Ordering::Relaxed);
        let result = ok(&mut instance, function, arguments).await;
        assert_eq!(result, "err(\"the shard has no majority\")", "{function}");
    }
}
