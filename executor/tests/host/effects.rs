use std::{sync::Arc, time::Duration};

use kiln_executor::{
    host::{CallError, Outside, SystemOutside},
    replay::kind_name,
};
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

/// A node on which two more hours have passed.
struct Later;

impl Outside for Later {
    fn wall_clock(&self) -> Duration {
        SystemOutside.wall_clock()
    }

    fn monotonic_ns(&self) -> u64 {
        SystemOutside.monotonic_ns() + 7_200_000_000_000
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        SystemOutside.fill_random(bytes);
    }
}

#[tokio::test]
async fn a_deadline_stays_where_it_was_when_the_worker_is_loaded_again() {
    let mut worker = Worker::of(built("effects")).await;
    let mut instance = worker.start().await;
    let interrupter = instance.interrupter();
    let journal = instance.journal().clone();
    let (slept, ()) = tokio::join!(call(&mut instance, "sleep-ms", &["3600000"]), async {
        interrupter.interrupt();
    });
    assert!(matches!(slept, Err(CallError::Interrupted)));
    journal.commit().await.expect("a vector takes everything");

    worker.context.outside = Arc::new(Later);
    let mut instance = worker.start().await;
    let sleep = ok(&mut instance, "sleep-ms", &["3600000"]);
    tokio::time::timeout(Duration::from_secs(20), sleep)
        .await
        .expect("the deadline has passed");
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

#[tokio::test]
async fn a_sleep_is_recorded_with_its_beginning_and_what_was_ready() {
    let worker = Worker::of(shared("std-rust")).await;
    let mut instance = worker.start().await;
    ok(&mut instance, "sleep-ms", &["1"]).await;
    let kinds = kinds(&worker);
    assert!(
        kinds.contains(&"monotonic_clock::subscribe_duration".to_owned()),
        "{kinds:?}"
    );
}

/// Logs what `wasi:config` says about one variable, with level `warn` and context `ctx`.
const LOGS_A_VARIABLE: &str = r#"
(component
  (import "wasi:config/store@0.2.0-draft" (instance $config
    (type $e (variant (case "upstream" string) (case "io" string)))
    (export "error" (type $error (eq $e)))
    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))
  (import "wasi:logging/logging" (instance $logging
    (type $l (enum "trace" "debug" "info" "warn" "error" "critical"))
    (export "level" (type $level (eq $l)))
    (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
  (core module $libc
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (data (i32.const 0) "colourctx")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.add (global.get $next) (i32.const 64)))
      (i32.sub (global.get $next) (i32.const 64))))
  (core instance $libc (instantiate $libc))
  (core func $get (canon lower (func $config "get") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $log (canon lower (func $logging "log") (memory (core memory $libc "memory"))))
  (core module $main
    (import "libc" "memory" (memory 1))
    (import "host" "get" (func $get (param i32 i32 i32)))
    (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
    (func (export "run")
      (call $get (i32.const 0) (i32.const 6) (i32.const 512))
      ;; result at 512, option at 516, the string's place and length after it
      (call $log (i32.const 3) (i32.const 6) (i32.const 3) (i32.load (i32.const 520)) (i32.load (i32.const 524)))))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "host" (instance (export "get" (func $get)) (export "log" (func $log))))))
  (func (export "run") (canon lift (core func $main "run"))))
"#;

#[tokio::test]
async fn configuration_is_read_and_messages_are_logged_once() {
    let mut worker = Worker::of(wat::parse_str(LOGS_A_VARIABLE).expect("valid text")).await;
    worker.context.config = vec![("colour".into(), "teal".into())];
    for _ in 0..2 {
        let mut instance = worker.start().await;
        ok(&mut instance, "run", &[]).await;
    }
    assert_eq!(kinds(&worker), ["create", "log teal"]);
    let entries = worker.oplog.entries().expect("decodable entries");
    let Some(Entry::Log(log)) = &entries[1].entry else {
        panic!("{entries:?}")
    };
    assert_eq!(
        (log.level(), log.context.as_str()),
        (kiln_proto::v1::log_entry::Level::Warn, "ctx")
    );
}
