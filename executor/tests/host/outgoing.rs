use std::{
    collections::BTreeSet,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use kiln_executor::{
    host::{CallError, Instance, Invocation},
    replay::kind_name,
};
use kiln_proto::{
    ids::{IdempotencyKey, OplogIndex},
    v1::{InvocationContext, Span, SpanStack, oplog_entry::Entry},
};

use tokio::net::{TcpSocket, TcpStream};

use crate::{
    fixture::{Worker, built, call},
    server::{Server, streamed},
};

/// One invocation of a worker that crashes now and then.
struct Run {
    worker: Worker,
    function: &'static str,
    arguments: Vec<String>,
    /// The trace of the caller.
    context: Option<InvocationContext>,
}

impl Run {
    async fn new(function: &'static str, arguments: Vec<String>) -> Self {
        Self {
            worker: Worker::of(built("outgoing")).await,
            function,
            arguments,
            context: None,
        }
    }

    async fn load(&self) -> Instance {
        let mut instance = self.worker.start().await;
        instance.enter(Invocation {
            key: IdempotencyKey::new("the invocation").expect("a key"),
            context: self.context.clone(),
            ..Invocation::default()
        });
        instance
    }

    /// Runs to the end, however often the guest has to start again.
    async fn finish(&self) -> Result<String, CallError> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        loop {
            let mut instance = self.load().await;
            match call(&mut instance, self.function, &arguments).await {
                Err(CallError::Jump) => {}
                outcome => return outcome,
            }
        }
    }

    async fn result(&self) -> String {
        let outcome = tokio::time::timeout(Duration::from_secs(15), self.finish());
        let outcome = outcome.await.expect("it comes to an end");
        outcome.unwrap_or_else(|error| panic!("{} failed: {error:?}", self.function))
    }

    fn length(&self) -> u64 {
        self.worker.oplog.last().0
    }

    fn kinds(&self) -> Vec<String> {
        let entries = self.worker.oplog.entries().expect("decodable entries");
        let described = entries.iter().filter_map(|entry| entry.entry.as_ref());
        described
            .map(|entry| match entry {
                Entry::ImportedFunctionInvoked(call) => call.function_name.clone(),
                other => kind_name(other).to_owned(),
            })
            .collect()
    }
}

/// Loses the oplog behind each of its entries in turn: the result is the same, and so are the keys that the server has seen.
async fn crash_everywhere(server: &Server, function: &'static str, arguments: Vec<String>) -> String {
    let run = Run::new(function, arguments).await;
    server.log.clear();
    let expected = run.result().await;
    let keys = server.log.keys();
    let all = run.length();
    assert_eq!(run.result().await, expected, "replayed as a whole");
    assert_eq!(run.length(), all, "replay records nothing: {:?}", run.kinds());
    let requests = server.log.requests();
    assert_eq!(
        requests as usize,
        keys.len(),
        "what is recorded is not asked for again"
    );
    for length in (1..all).rev() {
        run.worker.oplog.truncate(OplogIndex(length));
        let kinds = run.kinds();
        assert_eq!(run.result().await, expected, "{function} after {kinds:?}");
        assert_eq!(server.log.keys(), keys, "{function} after {kinds:?}");
    }
    for (key, seen) in server.log.seen() {
        assert_eq!(
            seen.traces.len(),
            1,
            "a request is one span, however often it is sent: {key} {seen:?}"
        );
    }
    assert!(server.log.requests() > requests, "some were asked for again");
    expected
}

#[tokio::test]
async fn a_request_carries_a_key_and_its_response_is_recorded() {
    let server = Server::start().await;
    let arguments = vec![
        "\"POST\"".into(),
        server.url("/echo"),
        "[(\"x-own\", \"1\")]".into(),
        "some(\"hello\")".into(),
    ];
    let result = crash_everywhere(&server, "fetch", arguments).await;
    assert!(
        result.starts_with("ok({status: 201, headers: [") && result.ends_with("body: \"0:hello\"})"),
        "{result}"
    );
}

#[tokio::test]
async fn the_entries_are_those_of_the_contract() {
    let server = Server::start().await;
    let run = Run::new("forget", vec![server.url("/echo")]).await;
    assert_eq!(run.result().await, "ok(201)");
    let kinds = run.kinds();
    let (first, last) = (&kinds[..2], kinds.last().map(String::as_str));
    assert_eq!(first, ["create", "begin-remote-write"], "{kinds:?}");
    assert!(
        kinds.contains(&"http::types::future_incoming_response::get".to_owned()),
        "{kinds:?}"
    );
    assert_eq!(
        last,
        Some("end-remote-write"),
        "what a guest never drops ends with the invocation: {kinds:?}"
    );
}

#[tokio::test]
async fn the_guests_own_key_is_kept() {
    let server = Server::start().await;
    let headers = "[(\"idempotency-key\", \"mine\")]".into();
    let run = Run::new(
        "fetch",
        vec!["\"GET\"".into(), server.url("/echo"), headers, "none".into()],
    )
    .await;
    run.result().await;
    assert_eq!(server.log.keys(), ["mine"]);
}

#[tokio::test]
async fn the_callers_trace_goes_on() {
    let server = Server::start().await;
    let caller = Span {
        span_id: "00f067aa0ba902b7".into(),
        external: true,
        ..Span::default()
    };
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut run = Run::new("twice", vec![server.url("/echo")]).await;
    run.context = Some(InvocationContext {
        trace_id: trace.into(),
        trace_states: vec!["a=1".into(), "b=2".into()],
        stacks: vec![SpanStack { spans: vec![caller] }],
    });
    run.result().await;
    let seen = server.log.seen();
    let traces: BTreeSet<&String> = seen.values().flat_map(|seen| &seen.traces).collect();
    assert_eq!(traces.len(), 2, "each request is a span of its own: {traces:?}");
    for headers in traces {
        let span = headers
            .strip_prefix(&format!("00-{trace}-"))
            .and_then(|rest| rest.strip_suffix("-00 a=1,b=2"));
        assert_eq!(span.map(str::len), Some(16), "{headers}");
        assert_ne!(span, Some("00f067aa0ba902b7"));
    }
}

#[tokio::test]
async fn the_guests_own_trace_is_kept() {
    let server = Server::start().await;
    let own = "00-11111111111111111111111111111111-2222222222222222-01";
    let headers = format!("[(\"traceparent\", \"{own}\")]");
    let arguments = vec!["\"GET\"".into(), server.url("/echo"), headers, "none".into()];
    let mut run = Run::new("fetch", arguments).await;
    run.context = Some(InvocationContext {
        trace_states: vec!["a=1".into()],
        ..InvocationContext::default()
    });
    run.result().await;
    let seen = server.log.seen().into_values().next().expect("a request");
    assert_eq!(seen.traces, [format!("{own} none")].into());
}

#[tokio::test]
async fn a_body_that_comes_bit_by_bit_goes_on_where_it_was() {
    let server = Server::start().await;
    let expected = format!("ok(\"{}\")", streamed());
    let download = crash_everywhere(&server, "download", vec![server.url("/stream"), "5".into()]).await;
    assert_eq!(download, expected);
    let tail = crash_everywhere(&server, "tail", vec![server.url("/stream"), "9".into()]).await;
    assert_eq!(tail, format!("ok(\"{}\")", &streamed()[9..]));
}

#[tokio::test]
async fn requests_in_flight_together_are_taken_up_each_by_itself() {
    let server = Server::start().await;
    let urls = ["/echo", "/stream", "/echo", "/stream"].map(|path| server.url(path));
    let result = crash_everywhere(&server, "parallel", vec![format!("[{}]", urls.join(", "))]).await;
    assert!(result.contains(&streamed()), "{result}");
    assert_eq!(server.log.keys().len(), 4, "each has a key of its own");
}

#[tokio::test]
async fn requests_after_each_other_are_sent_once() {
    let server = Server::start().await;
    let result = crash_everywhere(&server, "twice", vec![server.url("/echo")]).await;
    assert_eq!(result, "ok(\"0:one 1:two\")");
}

#[tokio::test]
async fn requests_to_the_same_place_share_a_connection() {
    let server = Server::start().await;
    let run = Run::new("twice", vec![server.url("/echo")]).await;
    assert_eq!(run.result().await, "ok(\"0:one 1:two\")");
    assert_eq!(
        (server.log.requests(), server.connections.load(Ordering::SeqCst)),
        (2, 1)
    );
}

#[tokio::test]
async fn a_request_that_may_be_repeated_is_sent_again_under_its_key() {
    let server = Server::start().await;
    let result = crash_everywhere(&server, "post", vec![server.url("/echo"), "true".into()]).await;
    assert_eq!(result, "ok(\"0:once\")");
}

/// The guest says so as the request begins; that it says something else later changes nothing.
#[tokio::test]
async fn a_request_that_must_not_be_repeated_fails_the_worker_when_its_answer_is_lost() {
    let server = Server::start().await;
    let run = Run::new("post", vec![server.url("/echo"), "false".into()]).await;
    let expected = run.result().await;
    assert_eq!(expected, "ok(\"0:once\")");
    let (whole, kinds) = (run.length(), run.kinds());
    let begin = kinds.iter().position(|kind| kind == "begin-remote-write");
    let begun = begin.expect("it begins") as u64 + 1;
    let mut completed = 0;
    for length in begun..whole {
        let recorded = &kinds[..length as usize];
        let crashed = Run {
            worker: run.worker.copy(OplogIndex(length)),
            function: run.function,
            arguments: run.arguments.clone(),
            context: None,
        };
        match crashed.finish().await {
            // All of the answer that the guest asks for is recorded.
            Ok(result) => {
                assert_eq!(result, expected, "after {recorded:?}");
                completed += 1;
            }
            Err(CallError::Trap { message, .. }) => {
                let text = "Non-idempotent remote write operation was not completed, cannot retry";
                assert!(message.starts_with(text), "{message} after {recorded:?}");
            }
            Err(error) => panic!("{error:?} after {recorded:?}"),
        }
        assert_eq!(server.log.requests(), 1, "sent again after {recorded:?}");
    }
    assert!(completed > 0, "its end alone is lost: {kinds:?}");
    assert!(completed < whole - begun, "its answer is lost: {kinds:?}");
}

#[tokio::test]
async fn trailers_are_recorded() {
    let server = Server::start().await;
    let result = crash_everywhere(&server, "trailers", vec![server.url("/trailers")]).await;
    assert_eq!(result, "ok([(\"x-sum\", \"42\")])");
}

#[tokio::test]
async fn a_large_body_is_written_again_and_sent_as_a_whole() {
    let server = Server::start().await;
    let size = 300_000_u64;
    let sum: u64 = (0..size).map(|at| at % 10_000 % 251).sum();
    let result = crash_everywhere(&server, "upload", vec![server.url("/upload"), size.to_string()]).await;
    assert!(result.contains(&format!("{size} {sum}")), "{result}");
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_is_written_again_from_the_beginning() {
    let server = Server::start().await;
    let size = 3_000_000_u64;
    let run = Run::new("upload", vec![server.url("/upload"), size.to_string()]).await;
    let expected = run.result().await;
    // Its beginning alone is recorded: it is sent while it is written.
    run.worker.oplog.truncate(OplogIndex(2));
    assert_eq!(run.kinds(), ["create", "begin-remote-write"]);
    assert_eq!(run.result().await, expected);
    // Something after its beginning is recorded.
    run.worker.oplog.truncate(OplogIndex(3));
    assert_eq!(run.result().await, expected);
    assert_eq!(server.log.keys().len(), 1, "the key is the same");
    assert!(run.kinds().contains(&"jump".to_owned()), "{:?}", run.kinds());
}

#[tokio::test]
async fn another_response_to_the_same_request_makes_the_guest_begin_anew() {
    let server = Server::start().await;
    let run = Run::new("download", vec![server.url("/moody"), "100".into()]).await;
    assert_eq!(run.result().await, "ok(\"mood 1 0;mood 1 1;mood 1 2;\")");
    let kinds = run.kinds();
    let read = |kind: &&String| kind.ends_with("incoming_body_stream::read");
    let first_read = kinds.iter().take_while(|kind| !read(kind)).count();
    run.worker.oplog.truncate(OplogIndex(first_read as u64 + 1));
    let result = run.result().await;
    assert_eq!(result, "ok(\"mood 3 0;mood 3 1;mood 3 2;\")", "of one piece");
    assert_eq!(server.log.keys().len(), 1);
}

#[tokio::test]
async fn time_outs_of_the_guest_are_answers() {
    let server = Server::start().await;
    let begun = Instant::now();
    for (path, time_outs, code) in [
        ("/slow", "first-byte-ms: some(200)", "ConnectionReadTimeout"),
        ("/pause", "between-bytes-ms: some(200)", "ConnectionReadTimeout"),
    ] {
        let mut all = vec![
            "connect-ms: none",
            "first-byte-ms: none",
            "between-bytes-ms: none",
        ];
        let name = time_outs.split(':').next().expect("a name");
        all.retain(|other| !other.starts_with(name));
        all.push(time_outs);
        let arguments = vec![server.url(path), format!("{{{}}}", all.join(", "))];
        let run = Run::new("within", arguments).await;
        for _ in 0..2 {
            let result = run.result().await;
            assert!(
                result.starts_with("err(") && result.contains(code),
                "{path}: {result}"
            );
        }
        assert_eq!(server.log.requests(), 1, "the answer is recorded");
        server.log.clear();
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_connection_that_does_not_come_is_an_answer() {
    // Nobody accepts, and the queue is full: the system lets further connections wait.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut held = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        held.push(connected.expect("a connection in the queue"));
    }
    let time_outs = "{connect-ms: some(300), first-byte-ms: none, between-bytes-ms: none}";
    let arguments = vec![format!("\"http://{address}/\""), time_outs.into()];
    let run = Run::new("within", arguments).await;
    let result = run.result().await;
    assert!(result.contains("ConnectionTimeout"), "{result}");
    drop((held, listener));
    assert_eq!(run.result().await, result, "the answer is recorded");
}

#[tokio::test]
async fn a_failure_on_the_way_is_another_attempt_of_the_worker() {
    let server = Server::start().await;
    let run = Run::new("download", vec![server.url("/break"), "100".into()]).await;
    let error = run.finish().await.expect_err("the body was cut");
    assert!(matches!(error, CallError::Trap { .. }), "{error:?}");
    assert_eq!(run.result().await, "ok(\"part 0;part 1;part 2;\")");
    assert_eq!(server.log.keys().len(), 1, "the key is the same");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_of_the_guest_in_the_end() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = unused.local_addr().expect("an address");
    drop(unused);
    let arguments = vec![
        "\"GET\"".into(),
        format!("\"http://{address}/\""),
        "[]".into(),
        "none".into(),
    ];
    let mut run = Run::new("fetch", arguments).await;
    let error = run.finish().await.expect_err("an attempt is left");
    assert!(matches!(error, CallError::Trap { .. }), "{error:?}");
    run.worker.context.retry_policy.max_attempts = 1;
    let result = run.result().await;
    assert!(result.contains("ConnectionRefused"), "{result}");
}

#[tokio::test]
async fn closed_destinations_are_told_so() {
    for (url, code) in [
        ("http://10.0.0.1/", "DestinationIpProhibited"),
        ("http://[::ffff:169.254.169.254]/", "DestinationIpProhibited"),
        ("http://denied.example/", "HttpRequestDenied"),
    ] {
        let arguments = vec!["\"GET\"".into(), format!("\"{url}\""), "[]".into(), "none".into()];
        let result = Run::new("fetch", arguments).await.result().await;
        assert!(result.contains(code), "{url}: {result}");
    }
}

#[tokio::test]
async fn names_are_looked_up_once_and_sockets_are_closed() {
    let run = Run::new("resolve", vec!["\"localhost\"".into()]).await;
    let found = run.result().await;
    assert!(found.contains("127.0.0.1"), "{found}");
    assert!(
        run.kinds()
            .contains(&"sockets::ip_name_lookup::resolve_addresses".to_owned())
    );
    assert_eq!(run.result().await, found);
    let denied = Run::new("resolve", vec!["\"denied.example\"".into()]).await;
    let result = denied.result().await.to_lowercase();
    assert!(result.contains("access-denied"), "{result}");
    let server = Server::start().await;
    let connect = Run::new("connect", vec![server.address.port().to_string()]).await;
    let result = connect.result().await.to_lowercase();
    assert!(result.contains("access-denied"), "{result}");
}

#[tokio::test]
async fn a_handler_answers_what_it_was_asked() {
    let handle = "golem:http/incoming-handler.{handle}";
    let request = |uri: &str| {
        let headers = "[(\"x-one\", \"1\"), (\"x-one\", \"2\")]";
        format!("{{method: \"PUT\", uri: \"http://here{uri}\", headers: {headers}, body: some([104, 105])}}")
    };
    let run = Run::new(handle, vec![request("/path?q=1")]).await;
    let answered = run.result().await;
    let body = answered.split_once("body: [").expect("a body").1;
    let body: Vec<u8> = body
        .trim_end_matches("]}")
        .split(", ")
        .map(|byte| byte.parse().expect("a byte"))
        .collect();
    let text = String::from_utf8(body).expect("text");
    assert!(answered.contains("status: 201") && answered.contains("(\"x-answered\", \"yes\")"));
    assert!(text.contains("Method::Put /path?q=1\n"), "{text}");
    assert!(
        text.contains("x-one: 1\nx-one: 2\n") && text.ends_with("hi"),
        "{text}"
    );
    assert_eq!(
        run.kinds(),
        ["create"],
        "request and answer are recorded with the invocation"
    );
    assert_eq!(run.result().await, answered);
    let silent = Run::new(handle, vec![request("/silent")]).await.result().await;
    assert!(silent.contains("status: 500"), "{silent}");
    let no_request = request("/").replace("PUT", "N O");
    let refused = Run::new(handle, vec![no_request]).await.result().await;
    assert!(refused.contains("status: 400"), "{refused}");
}
