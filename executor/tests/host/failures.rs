use std::time::Duration;

use kiln_executor::host::{CallError, TrapKind};

use crate::fixture::{Worker, built, call, ok};

#[tokio::test]
async fn a_panic_is_a_trap_with_its_message() {
    let worker = Worker::of(built("effects")).await;
    let mut instance = worker.start().await;
    ok(&mut instance, "eprint", &["\"an earlier call\""]).await;
    let error = call(&mut instance, "trap", &["\"out of cheese\""])
        .await
        .expect_err("a trap");
    let CallError::Trap {
        message,
        kind,
        stderr,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert!(
        message.starts_with("wasm trap: wasm `unreachable` instruction executed"),
        "{message}"
    );
    assert_eq!(kind, TrapKind::Other);
    assert!(stderr.contains("out of cheese"), "{stderr}");
    assert!(!stderr.contains("an earlier call"), "{stderr}");
    assert!(!instance.is_usable());
}

#[tokio::test]
async fn an_exit_carries_its_code() {
    let worker = Worker::of(built("effects")).await;
    for (code, expected) in [("0", 0), ("1", 1)] {
        let mut instance = worker.start().await;
        let error = call(&mut instance, "exit", &[code]).await.expect_err("an exit");
        let CallError::Exit { code, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(code, expected);
    }
}

#[tokio::test]
async fn a_loop_and_a_sleep_can_be_interrupted() {
    let worker = Worker::of(built("effects")).await;
    for (function, arguments) in [("spin", vec![]), ("sleep-ms", vec!["3600000"])] {
        let mut instance = worker.start().await;
        let interrupter = instance.interrupter();
        let run = call(&mut instance, function, &arguments);
        // `join!` runs the guest first: it is in the middle of its call by now.
        let stop = async {
            interrupter.interrupt();
        };
        let (error, ()) = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(run, stop) })
            .await
            .expect("an interrupt within ten seconds");
        assert!(
            matches!(error, Err(CallError::Interrupted)),
            "{function}: {error:?}"
        );
        assert!(!instance.is_usable());
    }
}

#[tokio::test]
async fn a_loop_lets_other_guests_run_on_the_same_thread() {
    let worker = Worker::of(built("effects")).await;
    let (mut looping, mut other) = (worker.start().await, worker.start().await);
    let interrupter = looping.interrupter();
    let answer = async {
        let answer = ok(&mut other, "random-bytes", &["0"]).await;
        interrupter.interrupt();
        answer
    };
    let (looped, answer) = tokio::join!(call(&mut looping, "spin", &[]), answer);
    assert!(matches!(looped, Err(CallError::Interrupted)));
    assert_eq!(answer, "[]");
}

#[tokio::test]
async fn memory_and_stack_have_an_end() {
    let worker = Worker::of(built("effects")).await;
    for (function, expected) in [
        ("devour", TrapKind::ExceededMemoryLimit),
        ("recurse", TrapKind::StackOverflow),
    ] {
        let mut instance = worker.start().await;
        let error = call(&mut instance, function, &[]).await.expect_err("a trap");
        let CallError::Trap { kind, message, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(kind, expected, "{function}: {message}");
    }
}

#[tokio::test]
async fn refused_arguments_leave_the_instance_as_it_was() {
    let worker = Worker::of(built("counter")).await;
    let mut instance = worker.start().await;
    let function = instance
        .component()
        .function("increment")
        .expect("a known function");
    let error = instance
        .call(&function, &[])
        .await
        .expect_err("an argument is missing");
    assert_eq!(
        error.to_string(),
        "expected 1 arguments, got 0; the signature is func(by: u64) -> u64"
    );
    let text = kiln_proto::v1::Value {
        kind: Some(kiln_proto::v1::value::Kind::StringValue("5".into())),
    };
    let error = instance
        .call(&function, &[text])
        .await
        .expect_err("a string is no number");
    assert_eq!(error.to_string(), "argument 1 (by): expected u64, found a string");
    assert_eq!(ok(&mut instance, "increment", &["2"]).await, "2");
}

/// Reads the clock for ever.
const READS_THE_CLOCK: &str = r#"
(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
  (core func $now (canon lower (func $clock "now")))
  (core module $main
    (import "clock" "now" (func $now (result i64)))
    (func (export "run") (loop $again (drop (call $now)) (br $again))))
  (core instance $main (instantiate $main (with "clock" (instance (export "now" (func $now))))))
  (func (export "run") (canon lift (core func $main "run"))))
"#;

#[tokio::test]
async fn a_guest_that_records_without_end_is_committed_on_the_way() {
    const ENOUGH: u64 = 3_000;
    let worker = Worker::of(wat::parse_str(READS_THE_CLOCK).expect("valid text")).await;
    let mut instance = worker.start().await;
    let (interrupter, journal) = (instance.interrupter(), instance.journal().clone());
    let watch = async {
        while worker.oplog.last().0 < ENOUGH {
            tokio::task::yield_now().await;
        }
        interrupter.interrupt();
    };
    let run = async { tokio::join!(call(&mut instance, "run", &[]), watch) };
    let (ended, ()) = tokio::time::timeout(Duration::from_secs(20), run)
        .await
        .expect("commits on the way");
    assert!(matches!(ended, Err(CallError::Interrupted)), "{ended:?}");
    assert!(journal.commits() >= 1);
}
