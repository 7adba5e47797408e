//! A server for guests to talk to. Whoever calls names itself in the query: `?by=NAME`. What a request brings about is made
//! with the first of its idempotency key, and the others get the same answer. `/echo` takes its time with `&after=MS`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::DATE;
use axum::http::{HeaderMap, HeaderValue, Response};
use axum::middleware::map_response;
use axum::routing::{get, post};
use futures::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Chunks of the body of `/stream`.
const CHUNKS: u32 = 4;

/// What each caller brought about, by idempotency key.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<BTreeMap<String, BTreeMap<String, Effect>>>>);

/// What came of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Its place among the effects of its caller.
    pub number: usize,
    /// Requests with the key.
    pub requests: u32,
    /// What those told of the trace that they belong to.
    pub traceparents: BTreeSet<String>,
}

impl Log {
    fn count(&self, query: &BTreeMap<String, String>, headers: &HeaderMap) -> usize {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let key = headers.get("idempotency-key").map(text).unwrap_or_default();
        let caller = query.get("by").cloned().unwrap_or_default();
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let effects = log.entry(caller).or_default();
        let number = effects.len();
        let effect = effects.entry(key).or_insert_with(|| Effect {
            number,
            ..Effect::default()
        });
        effect.requests += 1;
        effect.traceparents.extend(headers.get("traceparent").map(text));
        effect.number
    }
}

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    log: Log,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> Result<Self> {
        let log = Log::default();
        let routes = Router::new()
            .route("/echo", post(echo))
            .route("/stream", get(chunks))
            // The time of day would make each response another one.
            .layer(map_response(async |mut response: Response<Body>| {
                let date = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
                response.headers_mut().insert(DATE, date);
                response
            }))
            .with_state(log.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                eprintln!("the server of the test ended: {error}");
            }
        });
        Ok(Self { address, log, task })
    }

    /// What a caller has brought about, by idempotency key.
    #[must_use]
    pub fn effects_of(&self, caller: &str) -> BTreeMap<String, Effect> {
        let log = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.get(caller).cloned().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type By = Query<BTreeMap<String, String>>;

/// The answer tells effects apart, so that a second one would show.
async fn echo(State(log): State<Log>, Query(query): By, headers: HeaderMap, body: Bytes) -> String {
    let number = log.count(&query, &headers);
    let after_ms = query.get("after").and_then(|ms| ms.parse().ok());
    tokio::time::sleep(Duration::from_millis(after_ms.unwrap_or(0))).await;
    format!("{number}:{}", String::from_utf8_lossy(&body))
}

/// A body that comes bit by bit.
async fn chunks(State(log): State<Log>, Query(query): By, headers: HeaderMap) -> Body {
    let number = log.count(&query, &headers);
    let chunks = stream::iter(0..CHUNKS).then(move |chunk| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, Infallible>(format!("{number}:{chunk};"))
    });
    Body::from_stream(chunks)
}
