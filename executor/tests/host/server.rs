//! A server for guests to talk to, which counts what it is asked by idempotency key.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::DATE},
    middleware::map_response,
    routing::{get, post},
    serve::ListenerExt,
};
use futures::{StreamExt, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;

/// What one key has brought about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) requests: u32,
    pub(crate) answer: String,
    /// `traceparent` and `tracestate` as they came, each once.
    pub(crate) traces: BTreeSet<String>,
}

/// By idempotency key.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<BTreeMap<String, Seen>>>);

impl Log {
    /// Counts a request; the effect is made with the first of its key, and the others get the same answer.
    fn count(&self, headers: &HeaderMap, effect: impl FnOnce(usize) -> String) -> String {
        let text = |name: &str| {
            let value = headers
                .get(name)
                .map(|value: &HeaderValue| value.to_str().expect("text"));
            value.unwrap_or("none").to_owned()
        };
        let mut log = self.0.lock().expect("no panic");
        let number = log.len();
        let seen = log.entry(text("idempotency-key")).or_insert_with(|| Seen {
            answer: effect(number),
            ..Seen::default()
        });
        seen.requests += 1;
        seen.traces
            .insert(format!("{} {}", text("traceparent"), text("tracestate")));
        seen.answer.clone()
    }

    pub(crate) fn seen(&self) -> BTreeMap<String, Seen> {
        self.0.lock().expect("no panic").clone()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.seen().into_keys().collect()
    }

    pub(crate) fn requests(&self) -> u32 {
        self.seen().values().map(|seen| seen.requests).sum()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().expect("no panic").clear();
    }
}

/// Serves until the test ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
    /// Connections so far.
    pub(crate) connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let log = Log::default();
        let routes = Router::new()
            .route("/echo", post(echo).get(echo).put(echo))
            .route("/stream", get(chunks))
            .route("/trailers", get(trailers))
            .route("/upload", post(upload))
            .route("/moody", get(moody))
            .route("/slow", get(slow))
            .route("/pause", get(pause))
            .route("/break", get(cut))
            .layer(DefaultBodyLimit::disable())
            // The time of day would make each response another one.
            .layer(map_response(async |mut response: Response<Body>| {
                let date = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
                response.headers_mut().insert(DATE, date);
                response
            }))
            .with_state(log.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let listener = listener.tap_io(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self {
            address,
            log,
            connections,
            task,
        }
    }

    /// As a WAVE string.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("\"http://{}{path}\"", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer tells effects apart, so that a second effect would show.
async fn echo(State(log): State<Log>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let answer = log.count(&headers, |number| format!("{number}:{body}"));
    (StatusCode::CREATED, answer)
}

pub(crate) const CHUNKS: u32 = 6;

/// A body that comes bit by bit, the same for all.
pub(crate) fn streamed() -> String {
    (0..CHUNKS).map(|number| format!("chunk {number};")).collect()
}

async fn chunks(State(log): State<Log>, headers: HeaderMap) -> Body {
    log.count(&headers, |_| "a stream".into());
    let chunks = stream::iter(0..CHUNKS).then(|number| async move {
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok::<_, Infallible>(format!("chunk {number};"))
    });
    Body::from_stream(chunks)
}

async fn trailers(State(log): State<Log>, headers: HeaderMap) -> Response<Body> {
    log.count(&headers, |_| "trailers".into());
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("x-sum"), "42".parse().expect("a value"));
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"body"))),
        Ok(Frame::trailers(trailers)),
    ];
    Response::builder()
        .header("trailer", "x-sum")
        .body(Body::new(StreamBody::new(stream::iter(frames))))
        .expect("a response")
}

async fn upload(State(log): State<Log>, headers: HeaderMap, body: Bytes) -> String {
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    log.count(&headers, |_| format!("{} {sum}", body.len()))
}

/// Never says the same thing twice.
async fn moody(State(log): State<Log>, headers: HeaderMap) -> Body {
    log.count(&headers, |_| String::new());
    let requests = log.requests();
    let chunks = stream::iter(0..3).then(move |number| async move {
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok::<_, Infallible>(format!("mood {requests} {number};"))
    });
    Body::from_stream(chunks)
}

async fn slow(State(log): State<Log>, headers: HeaderMap) -> String {
    log.count(&headers, |_| String::new());
    tokio::time::sleep(Duration::from_secs(30)).await;
    String::new()
}

async fn pause(State(log): State<Log>, headers: HeaderMap) -> Body {
    log.count(&headers, |_| String::new());
    let chunks = stream::iter(0..2).then(|number| async move {
        tokio::time::sleep(Duration::from_secs(30 * number)).await;
        Ok::<_, Infallible>("bit")
    });
    Body::from_stream(chunks)
}

/// Ends in the middle of a body, the first time.
async fn cut(State(log): State<Log>, headers: HeaderMap) -> Body {
    log.count(&headers, |_| String::new());
    let is_first = log.requests() == 1;
    let chunks = stream::iter(0..3).then(move |number| async move {
        tokio::time::sleep(Duration::from_millis(3)).await;
        if is_first && number == 2 {
            return Err(std::io::Error::other("cut"));
        }
        Ok(format!("part {number};"))
    });
    Body::from_stream(chunks)
}
