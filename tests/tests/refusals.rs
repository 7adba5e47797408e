//! Wrong input and missing majorities: a clear answer with a stable code, never a panic, never a hang.

use std::time::{Duration, Instant};

use anyhow::Result;
use kiln_proto::v1::{self, worker_service_client::WorkerServiceClient};
use kiln_tests::cluster::{Cluster, lazy_channel};
use kiln_tests::load::Caller;

const UNAVAILABLE: i32 = 5;

/// A call that must be refused, and how.
struct WrongCall {
    worker: &'static str,
    function: &'static str,
    arguments: &'static [&'static str],
    /// Exit code and stable code.
    refusal: (i32, &'static str),
    /// What message and hint have to mention.
    words: &'static [&'static str],
}

const fn wrong(
    worker: &'static str,
    function: &'static str,
    arguments: &'static [&'static str],
    refusal: (i32, &'static str),
    words: &'static [&'static str],
) -> WrongCall {
    WrongCall {
        worker,
        function,
        arguments,
        refusal,
        words,
    }
}

const MISSING: (i32, &str) = (3, "not-found");
const INVALID: (i32, &str) = (2, "invalid");
const INCREMENT: &str = "test:counter/api.{increment}";

const WRONG_CALLS: &[WrongCall] = &[
    wrong("nothing/w", INCREMENT, &["1"], MISSING, &["nothing"]),
    wrong(
        "counter/w",
        "test:counter/api.{decrement}",
        &[],
        MISSING,
        &["decrement", "increment"],
    ),
    wrong("counter/w", INCREMENT, &[], INVALID, &["1 argument", "0"]),
    wrong("counter/w", INCREMENT, &["1", "2"], INVALID, &["1 argument", "2"]),
    wrong("counter/w", INCREMENT, &["\"five\""], INVALID, &["u64"]),
    wrong("counter/w", INCREMENT, &["-1"], INVALID, &["u64"]),
    wrong(
        "values/w",
        "test:values/api.{echo-point}",
        &["{x: 1, y: left}"],
        INVALID,
        &["s32"],
    ),
    wrong(
        "values/w",
        "test:values/api.{echo-colour}",
        &["violet"],
        INVALID,
        &["violet"],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_input_is_refused_with_what_is_wrong() -> Result<()> {
    let cluster = Cluster::with_component("counter").await?;
    cluster
        .add_component("values", &kiln_tests::guests::path("values"))
        .await?;
    let kiln = cluster.kiln(1)?;

    for case in WRONG_CALLS {
        let mut command = vec!["worker", "invoke", case.worker, case.function];
        command.extend(case.arguments);
        let (exit_code, refusal) = kiln.refused(&command).await?;
        let text = format!("{} {}", refusal.message, refusal.hint);
        assert_eq!(
            (exit_code, refusal.code.as_str()),
            case.refusal,
            "{command:?}: {text}"
        );
        for word in case.words {
            assert!(text.contains(word), "{command:?} should mention {word:?}: {text}");
        }
    }

    // None of these made a worker.
    let count = kiln.json(&["worker", "count", "--precise"]).await?;
    assert_eq!(count["count"], 0, "{count}");
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_components_and_large_messages_are_refused() -> Result<()> {
    let cluster = Cluster::with_component("counter").await?;
    let kiln = cluster.kiln(1)?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str, bytes: &[u8]| -> Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    };

    let text = file("text.wasm", b"this is no component")?;
    let (code, refusal) = kiln.refused(&["component", "add", "text", &text]).await?;
    assert_eq!(
        (code, refusal.code.as_str()),
        (2, "invalid"),
        "{}",
        refusal.message
    );

    // A core module, which is wasm but no component.
    let module = file("module.wasm", b"\0asm\x01\0\0\0")?;
    let (code, refusal) = kiln.refused(&["component", "add", "module", &module]).await?;
    assert_eq!(
        (code, refusal.code.as_str()),
        (2, "invalid"),
        "{}",
        refusal.message
    );

    let wanting = r#"(component (import "acme:moon/landing@1.0.0" (instance (export "land" (func)))))"#;
    let wanting = file("wanting.wasm", &wat::parse_str(wanting)?)?;
    let (code, refusal) = kiln.refused(&["component", "add", "wanting", &wanting]).await?;
    assert_eq!(
        (code, refusal.code.as_str()),
        (2, "invalid"),
        "{}",
        refusal.message
    );
    assert!(
        refusal.message.contains("acme:moon/landing@1.0.0"),
        "{}",
        refusal.message
    );

    let counter = kiln_tests::guests::path("counter").to_string_lossy().into_owned();
    let (code, refusal) = kiln.refused(&["component", "add", "counter", &counter]).await?;
    assert_eq!(
        code, 4,
        "a second component of the same name: {}",
        refusal.message
    );

    let mut client = WorkerServiceClient::new(lazy_channel(&cluster.executor(1).endpoint())?);
    let request = v1::InvokeRequest {
        worker: Some(v1::WorkerRef {
            component: "counter".into(),
            worker: "w".into(),
        }),
        function: "test:counter/api.{get}".into(),
        arguments: Some(v1::invoke_request::Arguments::Json("x".repeat(64 << 20))),
        ..Default::default()
    };
    let refused = client.invoke(request).await;
    let status = refused.err().map(|status| status.code());
    let expected = [
        Some(tonic::Code::ResourceExhausted),
        Some(tonic::Code::OutOfRange),
    ];
    assert!(expected.contains(&status), "64 MiB of arguments: {status:?}");

    // The node is none the worse for it.
    let caller = Caller::new(&cluster.endpoints(), 0, Duration::from_secs(20))?;
    assert_eq!(caller.increment("w", "after").await?.value, 1);
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_majority_is_unavailable_until_it_is_back() -> Result<()> {
    let mut cluster = Cluster::with_component("counter").await?;
    let caller = Caller::new(&cluster.endpoints(), 0, Duration::from_secs(20))?;
    assert_eq!(caller.increment("w", "before").await?.value, 1);
    let executors: Vec<usize> = cluster.executors().collect();
    let (running, stopped) = (1, &executors[1..]);

    for position in stopped {
        cluster.pause(*position)?;
    }
    let began = Instant::now();
    let invoke = [
        "worker",
        "invoke",
        "counter/w",
        "test:counter/api.{increment}",
        "1",
        "--key",
        "during",
    ];
    let (code, refusal) = cluster
        .kiln(running)?
        .refused(&[&invoke[..], &["--timeout", "4s"]].concat())
        .await?;
    assert_eq!(code, UNAVAILABLE, "{} {}", refusal.code, refusal.message);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "it took {:?}",
        began.elapsed()
    );

    for position in stopped {
        cluster.resume(*position)?;
    }
    cluster.ready().await?;
    // The call with the same key counts once, whether or not the refused one got through.
    assert_eq!(caller.increment("w", "during").await?.value, 2);
    cluster.finish()
}
