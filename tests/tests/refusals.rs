//! Wrong input and missing majorities: a clear answer with a stable code, never a panic, never a hang.

use std::time::{Duration, Instant};

use anyhow::Result;
use kiln_proto::v1::{self, worker_service_client::WorkerServiceClient};
use kiln_tests::cluster::{Cluster, lazy_channel};
use kiln_tests::load::Caller;

const NOT_FOUND: i32 = 3;
const UNAVAILABLE: i32 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_input_is_refused_with_what_is_wrong() -> Result<()> {
    let cluster = Cluster::with_component("counter").await?;
    cluster
        .add_component("values", &kiln_tests::guests::path("values"))
        .await?;
    let kiln = cluster.kiln(1)?;

    // (arguments, exit code, code, words of the message)
    type Case<'a> = (&'a [&'a str], i32, &'a str, &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (
            &["nothing/w", "test:counter/api.{get}"],
            NOT_FOUND,
            "not-found",
            &["nothing"],
        ),
        (
            &["counter/w", "test:counter/api.{decrement}", "1"],
            NOT_FOUND,
            "not-found",
            &["decrement"],
        ),
        (
            &["counter/w", "test:counter/api.{increment}"],
            2,
            "invalid",
            &["1 argument", "0"],
        ),
        (
            &["counter/w", "test:counter/api.{increment}", "1", "2"],
            2,
            "invalid",
            &["1 argument", "2"],
        ),
        (
            &["counter/w", "test:counter/api.{increment}", "\"five\""],
            2,
            "invalid",
            &["u64"],
        ),
        (
            &["counter/w", "test:counter/api.{increment}", "-1"],
            2,
            "invalid",
            &["u64"],
        ),
        (
            &["values/w", "test:values/api.{echo-point}", "{x: 1, y: left}"],
            2,
            "invalid",
            &["s32"],
        ),
        (
            &["values/w", "test:values/api.{echo-colour}", "violet"],
            2,
            "invalid",
            &["violet"],
        ),
    ];
    for (arguments, exit_code, code, words) in cases {
        let command = [&["worker", "invoke"], *arguments].concat();
        let (refused_with, refusal) = kiln.refused(&command).await?;
        let text = format!("{} {}", refusal.message, refusal.hint);
        assert_eq!(
            (refused_with, refusal.code.as_str()),
            (*exit_code, *code),
            "{command:?}: {text}"
        );
        for word in *words {
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
