//! One tree of spans from HTTP in over workers that call each other to HTTP out, complete and without duplicates at a real
//! receiver, although owners are killed in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kiln_tests::client::PatientClient;
use kiln_tests::cluster::{Cluster, Shape};
use kiln_tests::server::Server;
use kiln_tests::spans::{Receiver, hex};
use kiln_tests::wait::eventually;
use kiln_tests::{guests, http};
use opentelemetry_proto::tonic::trace::v1::Span;

const PATIENCE: Duration = Duration::from_secs(60);
const CALLER: &str = "b7ad6b7169203331";
/// How long the server takes for an answer: the owner is killed meanwhile.
const SLOW_MS: u64 = 1500;

/// A call whose way is disturbed at one of its workers.
struct Run {
    trace: &'static str,
    /// Component and worker whose owner is killed.
    struck: (&'static str, &'static str),
}

const RUNS: [Run; 2] = [
    Run {
        trace: "0af7651916cd43dd8448eb211c80319c",
        struck: ("rpc", "first"),
    },
    Run {
        trace: "4bf92f3577b34da6a3ce929d0e0e4736",
        struck: ("outgoing", "second"),
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_of_spans_arrives_whole_although_owners_die() -> Result<()> {
    let (receiver, server) = (Receiver::start().await?, Server::start().await?);
    let settings = [
        ("KILN_TELEMETRY__OTLP__ENDPOINT", receiver.endpoint.as_str()),
        ("KILN_EXECUTOR__EGRESS__ALLOW_ADDRESSES", "[\"127.0.0.0/8\"]"),
    ];
    let mut cluster = Cluster::start_with(Shape::default(), &settings).await?;
    for component in ["rpc", "outgoing"] {
        cluster.add_component(component, &guests::path(component)).await?;
    }
    let client = PatientClient::new(&cluster, PATIENCE)?;
    // They are there, each with an owner that can be found.
    client.wave("rpc/first", "test:rpc/api.{value}", &[], "").await?;
    let there = "test:outgoing/api.{resolve}";
    client
        .wave("outgoing/second", there, &["\"localhost\""], "")
        .await?;
    let outgoing = client.worker("outgoing/second").await?.component_id;

    for run in RUNS {
        run.call(&mut cluster, &server, &outgoing).await?;
        let spans = run.spans(&receiver).await?;
        let told = assert_tree(&spans)?;
        let told: BTreeSet<String> = told
            .iter()
            .map(|id| format!("00-{}-{id}-00", run.trace))
            .collect();
        let effects = server.effects_of(run.trace);
        let heard: Vec<String> = effects
            .values()
            .flat_map(|effect| effect.traceparents.clone())
            .collect();
        ensure!(
            effects.len() == 2 && heard.len() == 2 && heard.iter().all(|told_of| told.contains(told_of)),
            "{effects:?} of {told:?}"
        );
    }
    cluster.finish()
}

impl Run {
    /// Calls the first worker, which calls the second one, which posts twice. Both go on when an owner is lost.
    async fn call(&self, cluster: &mut Cluster, server: &Server, outgoing: &str) -> Result<()> {
        let (component, worker) = self.struck;
        let owner = cluster.owner_of(component, worker).await?;
        // Asked elsewhere, so that the connection outlives the owner.
        let edge = cluster.executors().find(|position| *position != owner);
        let edge = cluster.nodes()[edge.context("there are three executors")?].http_address();
        let url = format!("http://{}/echo?by={}&after={SLOW_MS}", server.address, self.trace);
        let calling = over_http(edge, self.trace, outgoing, &url);
        let killing = async {
            eventually("the request is at the server", PATIENCE, async || {
                Ok((!server.effects_of(self.trace).is_empty()).then_some(()))
            })
            .await?;
            cluster.kill(owner)
        };
        let (answer, killed) = tokio::join!(calling, killing);
        killed?;
        let answer = answer?;
        ensure!(answer == serde_json::json!({"ok": "0:one 1:two"}), "{answer}");
        cluster.restart(owner)?;
        cluster.ready().await
    }

    /// The spans of the call, each once.
    async fn spans(&self, receiver: &Receiver) -> Result<Vec<Span>> {
        let expected = [
            "outgoing-http-request",
            "outgoing-http-request",
            "rpc-connection",
            "rpc-invocation",
            "test:outgoing/api@0.1.0.{twice}",
            "test:rpc/api@0.1.0.{call-elsewhere}",
        ];
        let spans = eventually("all spans arrive", PATIENCE, async || {
            let spans = receiver.of_trace(self.trace);
            Ok((spans.len() >= expected.len()).then_some(spans))
        })
        .await?;
        let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        ensure!(names == expected, "{names:?}");
        Ok(spans)
    }
}

async fn over_http(edge: SocketAddr, trace: &str, outgoing: &str, url: &str) -> Result<serde_json::Value> {
    let path = "/v1/components/rpc/workers/first/invoke/test:rpc%2Fapi.%7Bcall-elsewhere%7D";
    let traceparent = format!("00-{trace}-{CALLER}-01");
    let headers = [("idempotency-key", trace), ("traceparent", traceparent.as_str())];
    let function = "test:outgoing/api@0.1.0.{twice}";
    let arguments = serde_json::json!([outgoing, "second", function, url]).to_string();
    let answered = tokio::time::timeout(PATIENCE, http::post(edge, path, &headers, &arguments));
    let (status, body) = answered.await.context("no answer")??;
    ensure!(status == 200, "{status}: {body}");
    let answer: serde_json::Value = serde_json::from_str(&body)?;
    Ok(answer["result"].clone())
}

/// Each span once, and each below one that is there, up to the caller's. Gives the ids of those of the requests.
fn assert_tree(spans: &[Span]) -> Result<Vec<String>> {
    let mut by_id = BTreeMap::new();
    for span in spans {
        let twice = by_id.insert(hex(&span.span_id), span);
        ensure!(twice.is_none(), "span {} came twice", span.name);
        ensure!(
            span.end_time_unix_nano >= span.start_time_unix_nano,
            "{}",
            span.name
        );
    }
    let chain = ["{twice}", "rpc-invocation", "rpc-connection", "{call-elsewhere}"];
    let mut requests = Vec::new();
    for request in spans.iter().filter(|span| span.name == "outgoing-http-request") {
        let mut at = request;
        for name in chain {
            let parent = by_id.get(&hex(&at.parent_span_id));
            at = parent.with_context(|| format!("{} hangs in the air", at.name))?;
            ensure!(at.name.ends_with(name), "{} is where {name} should be", at.name);
        }
        ensure!(hex(&at.parent_span_id) == CALLER);
        requests.push(hex(&request.span_id));
    }
    Ok(requests)
}
