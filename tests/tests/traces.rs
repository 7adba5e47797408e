//! One tree of spans from HTTP in over workers that call each other, complete and without duplicates at a real receiver, although
//! owners are killed in the middle.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kiln_tests::client::PatientClient;
use kiln_tests::cluster::{Cluster, Shape};
use kiln_tests::spans::{Receiver, hex};
use kiln_tests::wait::eventually;
use kiln_tests::{guests, http};
use opentelemetry_proto::tonic::trace::v1::Span;

const PATIENCE: Duration = Duration::from_secs(60);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
/// How long the last worker of the chain takes: the owner is killed meanwhile.
const SLOW_MS: u64 = 3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_of_spans_arrives_whole_although_the_owner_dies() -> Result<()> {
    let receiver = Receiver::start().await?;
    let settings = [("KILN_TELEMETRY__OTLP__ENDPOINT", receiver.endpoint.as_str())];
    let mut cluster = Cluster::start_with(Shape::default(), &settings).await?;
    cluster.add_component("rpc", &guests::path("rpc")).await?;
    let client = PatientClient::new(&cluster, PATIENCE)?;
    // They are there, each with an owner that can be found.
    for worker in ["first", "second"] {
        client
            .wave(&format!("rpc/{worker}"), "test:rpc/api.{value}", &[], "")
            .await?;
    }

    let owner = cluster.owner_of("rpc", "first").await?;
    // Asked elsewhere, so that the connection outlives the owner.
    let edge = cluster.executors().find(|position| *position != owner);
    let edge = cluster.nodes()[edge.context("there are three executors")?].http_address();
    let calling = over_http(edge);
    let killing = async {
        tokio::time::sleep(Duration::from_millis(SLOW_MS / 2)).await;
        cluster.kill(owner)
    };
    let (answer, killed) = tokio::join!(calling, killing);
    killed?;
    ensure!(answer? == serde_json::json!({"ok": 5}));
    cluster.restart(owner)?;
    cluster.ready().await?;
    ensure!(client.wave("rpc/second", "test:rpc/api.{value}", &[], "").await? == "5");

    let expected = [
        "rpc-connection",
        "rpc-invocation",
        "test:rpc/api@0.1.0.{call-slow-add}",
        "test:rpc/api@0.1.0.{slow-add}",
    ];
    let spans = eventually("all spans arrive", PATIENCE, async || {
        let spans = receiver.of_trace(TRACE);
        Ok((spans.len() >= expected.len()).then_some(spans))
    })
    .await?;
    let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    ensure!(names == expected, "{names:?}");
    assert_tree(&spans)?;
    cluster.finish()
}

/// Calls the first worker, which calls the second one. An edge that loses the owner goes on at the next.
async fn over_http(edge: SocketAddr) -> Result<serde_json::Value> {
    let path = "/v1/components/rpc/workers/first/invoke/test:rpc%2Fapi.%7Bcall-slow-add%7D";
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let headers = [
        ("idempotency-key", "traced"),
        ("traceparent", traceparent.as_str()),
    ];
    let arguments = serde_json::json!(["second", SLOW_MS, 5]).to_string();
    let answered = tokio::time::timeout(PATIENCE, http::post(edge, path, &headers, &arguments));
    let (status, body) = answered.await.context("no answer")??;
    ensure!(status == 200, "{status}: {body}");
    let answer: serde_json::Value = serde_json::from_str(&body)?;
    Ok(answer["result"].clone())
}

/// Each span once, and each below one that is there, up to the caller's.
fn assert_tree(spans: &[Span]) -> Result<()> {
    let mut by_id = BTreeMap::new();
    for span in spans {
        let twice = by_id.insert(hex(&span.span_id), span);
        ensure!(twice.is_none(), "span {} came twice", span.name);
    }
    for span in spans {
        let parent = hex(&span.parent_span_id);
        ensure!(
            parent == CALLER || by_id.contains_key(&parent),
            "{} hangs in the air, below {parent}",
            span.name
        );
        ensure!(
            span.end_time_unix_nano >= span.start_time_unix_nano,
            "{}",
            span.name
        );
    }
    let chain = [
        "{slow-add}",
        "rpc-invocation",
        "rpc-connection",
        "{call-slow-add}",
    ];
    let innermost = spans.iter().find(|span| span.name.ends_with(chain[0]));
    let mut at = innermost.context("the callee's span is there")?;
    for name in &chain[1..] {
        at = by_id[&hex(&at.parent_span_id)];
        ensure!(at.name.ends_with(name), "{} is where {name} should be", at.name);
    }
    ensure!(hex(&at.parent_span_id) == CALLER);
    Ok(())
}
