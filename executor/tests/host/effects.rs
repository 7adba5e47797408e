use kiln_executor::{host::CallError, replay::kind_name};
use kiln_proto::v1::oplog_entry::Entry;

use crate::fixture::{Worker, built, call, ok, shared};

fn kinds(worker: &Worker) -> Vec<String> {
    let describe = |entry: &Entry| match entry {
        Entry::ImportedFunctionInvoked(call) => call.function_name.clone(),
        Entry::Log(log) => format!("log {}", log.message),
        other => kind_name(other).to_owned(),
    };
    let entries = worker.oplog.entries().expect("decodable entries");
    entries
        .iter()
        .filter_map(|entry| entry.entry.as_ref())
        .map(describe)
        .collect()
}

#[tokio::test]
async fn time_and_randomness_are_the_same_after_replay() {
    let worker = Worker::of(built("effects")).await;
    let mut instance = worker.start().await;
    for _ in 0..3 {
        ok(&mut instance, "observe", &[]).await;
    }
    let observed = ok(&mut instance, "observed", &[]).await;
    let entries = worker.oplog.entries().expect("decodable entries").len();
    drop(instance);

    let mut instance = worker.start().await;
    for _ in 0..3 {
        ok(&mut instance, "observe", &[]).await;
    }
    assert_eq!(ok(&mut instance, "observed", &[]).await, observed);
    assert_eq!(
        worker.oplog.entries().expect("decodable entries").len(),
        entries,
        "replay records nothing"
    );
    assert!(instance.journal().is_live());
}

#[tokio::test]
async fn each_effect_is_recorded_under_its_name() {
    let mut worker = Worker::of(built("effects")).await;
    worker.context.env = vec![("A".into(), "1".into())];
    worker.context.args = vec!["x".into(), "y".into()];
    let mut instance = worker.start().await;
    assert_eq!(ok(&mut instance, "env", &[]).await, r#"[("A", "1")]"#);
    assert_eq!(ok(&mut instance, "args", &[]).await, r#"["x", "y"]"#);
    ok(&mut instance, "random-u64", &[]).await;
    ok(&mut instance, "random-bytes", &["4"]).await;
    ok(&mut instance, "wall-clock", &[]).await;
    ok(&mut instance, "monotonic-step", &[]).await;
    ok(&mut instance, "print", &["\"hello\""]).await;
    let expected = [
        "create",
        // Once by the C library as it starts up, once by the guest.
        "golem_environment::get_environment",
        "golem_environment::get_environment",
        "golem_environment::get_arguments",
        "golem random::get_random_u64",
        "golem random::get_random_bytes",
        "wall_clock::now",
        "monotonic_clock::now",
        "monotonic_clock::now",
        "log hello",
    ];
    assert_eq!(kinds(&worker), expected);
}

#[tokio::test]
async fn a_line_is_recorded_once_however_often_it_is_replayed() {
    let worker = Worker::of(built("effects")).await;
    for _ in 0..3 {
        let mut instance = worker.start().await;
        ok(&mut instance, "print", &["\"one\""]).await;
        ok(&mut instance, "random-u64", &[]).await;
        ok(&mut instance, "print", &["\"two\""]).await;
    }
    assert_eq!(
        kinds(&worker),
        ["create", "log one", "golem random::get_random_u64", "log two"]
    );
}

#[tokio::test]
async fn another_call_than_the_recorded_one_is_a_divergence() {
    let worker = Worker::of(built("effects")).await;
    let mut instance = worker.start().await;
    ok(&mut instance, "random-u64", &[]).await;
    ok(&mut instance, "random-bytes", &["4"]).await;

    let mut instance = worker.start().await;
    let error = call(&mut instance, "wall-clock", &[])
        .await
        .expect_err("a divergence");
    let CallError::Divergence(divergence) = error else {
        panic!("{error:?}")
    };
    assert_eq!(divergence.index.0, 2);
    assert_eq!(divergence.expected, "the host call golem random::get_random_u64");
    assert_eq!(divergence.actual, "the host call wall_clock::now");
    let error = call(&mut instance, "random-u64", &[])
        .await
        .expect_err("the instance is gone");
    assert!(matches!(error, CallError::Unusable));

    // The same function with another request.
    let mut instance = worker.start().await;
    ok(&mut instance, "random-u64", &[]).await;
    let error = call(&mut instance, "random-bytes", &["5"])
        .await
        .expect_err("a divergence");
    assert!(matches!(error, CallError::Divergence(_)), "{error:?}");
}

#[tokio::test]
async fn a_lost_tail_goes_on_live() {
    let worker = Worker::of(built("effects")).await;
    let mut instance = worker.start().await;
    ok(&mut instance, "observe", &[]).await;
    let observed = ok(&mut instance, "observed", &[]).await;
    ok(&mut instance, "observe", &[]).await;
    // The crash lost the last recorded call: its first half is replayed, the rest is new.
    worker
        .oplog
        .truncate(kiln_proto::ids::OplogIndex(worker.oplog.last().0 - 1));

    let mut instance = worker.start().await;
    ok(&mut instance, "observe", &[]).await;
    assert_eq!(ok(&mut instance, "observed", &[]).await, observed);
    assert!(!instance.journal().is_live());
    assert_eq!(ok(&mut instance, "observe", &[]).await, "2");
    assert!(instance.journal().is_live());
}

#[tokio::test]
async fn a_sleep_is_over_on_replay() {
    let worker = Worker::of(built("effects")).await;
    let mut instance = worker.start().await;
    let slept = |started: std::time::Instant| started.elapsed().as_millis();
    let started = std::time::Instant::now();
    ok(&mut instance, "sleep-ms", &["300"]).await;
    assert!(slept(started) >= 300);
    let mut instance = worker.start().await;
    let started = std::time::Instant::now();
    ok(&mut instance, "sleep-ms", &["300"]).await;
    assert!(slept(started) < 250);
}

#[tokio::test]
async fn the_standard_library_finds_files_clocks_and_environment() {
    let mut worker = Worker::of(shared("std-rust")).await;
    worker.context.env = vec![("PROBE".into(), "set".into())];
    worker.context.args = vec!["a".into(), "b".into()];
    for _ in 0..2 {
        let mut instance = worker.start().await;
        let probed = ok(&mut instance, "probe", &["\"/\""]).await;
        assert_eq!(
            probed,
            r#"ok(["written", "probe.txt", "set", "a b", "true", "1"])"#
        );
    }
}
