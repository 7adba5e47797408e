use std::collections::BTreeSet;

use axum::http::StatusCode;
use kiln_executor::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::node::{Node, guest_bytes};

/// One request on its own connection; status, head and body of the answer.
async fn ask(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (StatusCode, String, String) {
    ask_with(address, method, path, headers, body.as_bytes()).await
}

/// The same, with bytes.
async fn ask_with(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> (StatusCode, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: kiln\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // Who refuses a body may not read it to its end.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// Serves the node's HTTP on a port of its own.
async fn listen(node: &Node) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = node.executor.http_router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn http_speaks_json() {
    let node = Node::start().await;
    node.upload("counter").await;
    let address = listen(&node).await;

    let invoke = "/v1/components/counter/workers/h/invoke/test:counter/api.%7Bincrement%7D";
    let key = "idempotency-key: abc\r\n";
    let (status, head, body) = ask(&address, "POST", invoke, key, "[5]").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(!head.contains("idempotent-replayed"));
    assert!(
        body.contains("\"result\":5") && body.contains("\"idempotencyKey\":\"abc\""),
        "{body}"
    );
    let (_, head, body) = ask(&address, "POST", invoke, key, "[5]").await;
    assert!(
        head.contains("idempotent-replayed: true") && body.contains("\"result\":5"),
        "{head} {body}"
    );

    let (status, _, body) = ask(&address, "POST", invoke, "", "[\"x\"]").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("\"code\":\"INVALID\""), "{body}");
    let (status, _, body) = ask(
        &address,
        "GET",
        "/v1/components/counter/workers?filter=name+%3D+h&precise=true",
        "",
        "",
    )
    .await;
    assert!(
        status == StatusCode::OK && body.contains("\"worker\":\"h\""),
        "{body}"
    );
    let (status, _, _) = ask(&address, "GET", "/v1/components/counter/workers/nobody", "", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/cluster",
        "/v1/components",
        "/v1/components/counter",
    ] {
        assert_eq!(
            ask(&address, "GET", path, "", "").await.0,
            StatusCode::OK,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_serves_http() {
    let node = Node::start().await;
    node.upload("outgoing").await;
    let address = listen(&node).await;
    let path = "/v1/components/outgoing/workers/w/http/deep/path?q=1";
    let headers = "idempotency-key: abc\r\nx-mine: 7\r\n";
    let (status, head, body) = ask(&address, "POST", path, headers, "question").await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert!(
        head.contains("x-answered: yes") && !head.contains("idempotent-replayed"),
        "{head}"
    );
    assert!(body.contains("Method::Post /deep/path?q=1\n"), "{body}");
    assert!(
        body.contains("x-mine: 7\n") && body.ends_with("question"),
        "{body}"
    );
    let (_, head, again) = ask(&address, "POST", path, headers, "another question").await;
    assert!(
        head.contains("idempotent-replayed: true") && again == body,
        "{head} {again}"
    );
    let silent = "/v1/components/outgoing/workers/w/http/silent";
    let (status, _, _) = ask(&address, "GET", silent, "", "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    node.upload("counter").await;
    let (status, _, body) = ask(&address, "GET", &silent.replace("outgoing", "counter"), "", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it serves no HTTP: {body}");
}

/// Every string of the router that is a path, as the document writes it.
fn routed() -> BTreeSet<String> {
    let router = include_str!("../../src/edge/http/mod.rs");
    let texts = router.split('"').skip(1).step_by(2);
    let paths = texts.filter(|text| text.starts_with('/'));
    paths.map(|path| path.replace("{*", "{")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_what_is_served() {
    let node = Node::start().await;
    let address = listen(&node).await;
    let (status, head, document) = ask(&address, "GET", "/openapi.json", "", "").await;
    assert!(
        status == StatusCode::OK && head.contains("application/json"),
        "{head}"
    );
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.keys().cloned().collect::<BTreeSet<_>>(), routed());

    for (path, operations) in paths {
        let methods = operations.as_object().unwrap().keys();
        let methods: BTreeSet<String> = methods
            .filter(|key| *key != "parameters")
            .map(|method| method.to_uppercase())
            .collect();
        // A method that nothing takes: the answer names those that are taken.
        let (status, head, body) = ask(&address, "BREW", path, "", "").await;
        if path.ends_with("/http/{path}") {
            assert_eq!(methods.len(), 8, "all methods are the guest's");
            assert_eq!(status, StatusCode::NOT_FOUND, "there is no such worker: {body}");
            continue;
        }
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(body.contains("/openapi.json"), "{body}");
        let allow = head
            .lines()
            .find_map(|line| line.strip_prefix("allow: "))
            .unwrap();
        let allowed = allow.split(',').filter(|method| *method != "HEAD");
        assert_eq!(
            allowed.map(str::to_owned).collect::<BTreeSet<_>>(),
            methods,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_refuses_bad_requests_with_json() {
    let node = Node::start().await;
    node.upload("counter").await;
    let address = listen(&node).await;
    let worker = "/v1/components/counter/workers/w";
    let cases = [
        ("GET", "/v1/nothing".to_owned(), "", "NOT_FOUND"),
        ("GET", "/v1/components/%ff".to_owned(), "", "INVALID"),
        ("POST", "/v1/components".to_owned(), "", "`name`"),
        ("POST", "/v1/promises/counter/w/first".to_owned(), "", "first"),
        ("POST", format!("{worker}/update"), "{version: 1}", "no JSON"),
        ("POST", format!("{worker}/update"), "{}", "version"),
        ("POST", format!("{worker}/revert"), "[]", "toIndex"),
        ("GET", format!("{worker}/oplog?from=x"), "", "from"),
    ];
    for (method, path, body, named) in cases {
        let (status, _, answer) = ask(&address, method, &path, "", body).await;
        assert!(status.is_client_error(), "{path}: {status}");
        let error: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let error = &error["error"];
        assert!(
            error["message"].is_string() && error.to_string().contains(named),
            "{path}: {answer}"
        );
    }
}

const FORM: &str = "content-type: multipart/form-data; boundary=xyz\r\n";

/// A part of a form: its name and its contents.
type Part<'a> = (&'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, contents) in parts {
        let head =
            format!("--xyz\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"any\"\r\n\r\n");
        form.extend([head.as_bytes(), contents, b"\r\n"].concat());
    }
    form.extend(b"--xyz--\r\n");
    form
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_brings_settings_and_files_in_a_form() {
    let node = Node::start().await;
    let address = listen(&node).await;
    let (files, counter) = (guest_bytes("files"), guest_bytes("counter"));
    let (status, _, body) = ask_with(&address, "POST", "/v1/components?name=counter", "", &counter).await;
    assert_eq!(status, StatusCode::CREATED, "the component alone: {body}");

    let metadata = br#"{
        "env": {"LANG": "de"}, "indexedEnv": ["LANG"], "clients": {"test:any/any": "counter"},
        "files": [{"path": "/notes.txt", "writable": true}]
    }"#;
    let parts: [Part<'_>; 4] = [
        ("/data/words.txt", b"one two"),
        ("metadata", metadata),
        ("component", &files),
        ("/notes.txt", b"mine"),
    ];
    let path = "/v1/components?name=files";
    let (status, _, body) = ask_with(&address, "POST", path, FORM, &form(&parts)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let (_, _, body) = ask(&address, "GET", "/v1/components/files", "", "").await;
    let described: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(described["env"], serde_json::json!({"LANG": "de"}));
    assert_eq!(
        described["clients"],
        serde_json::json!({"test:any/any": "counter"})
    );
    assert_eq!(
        described["files"],
        serde_json::json!([
            {"path": "/data/words.txt", "writable": false, "size": 7},
            {"path": "/notes.txt", "writable": true, "size": 4},
        ])
    );
    let run = async |function: &str, arguments: &[&str]| {
        let function = format!("api.{{{function}}}");
        node.wave("files/w", &function, arguments).await.unwrap()
    };
    assert_eq!(run("read", &["\"/data/words.txt\""]).await, r#"ok("one two")"#);
    let refused = run("append", &["\"/data/words.txt\"", "\"!\""]).await;
    assert!(refused.contains("not permitted"), "{refused}");
    assert_eq!(run("append", &["\"/notes.txt\"", "\"!\""]).await, "ok");

    let next: [Part<'_>; 2] = [("component", &files), ("/data/words.txt", b"three")];
    let (status, _, body) = ask_with(&address, "PUT", "/v1/components/files", FORM, &form(&next)).await;
    assert!(
        status == StatusCode::OK && body.contains("\"version\":1"),
        "{body}"
    );
    let words = node
        .wave("files/new", "api.{read}", &["\"/data/words.txt\""])
        .await;
    assert_eq!(words.unwrap(), r#"ok("three")"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_makes_no_sense_is_refused() {
    let limits = Limits {
        component_bytes_max: 200_000,
        ..Limits::default()
    };
    let node = Node::start_with(limits).await;
    let address = listen(&node).await;
    let (files, large) = (guest_bytes("files"), vec![0; 150_000]);
    assert!(files.len() < 200_000, "{}", files.len());
    let cases: [(&[Part<'_>], StatusCode, &str); 9] = [
        (&[], StatusCode::BAD_REQUEST, "no part \\\"component\\\""),
        (
            &[("metadata", b"{}")],
            StatusCode::BAD_REQUEST,
            "no part \\\"component\\\"",
        ),
        (
            &[("component", &files), ("name", b"x")],
            StatusCode::BAD_REQUEST,
            "unknown part \\\"name\\\"",
        ),
        (
            &[("component", &files), ("component", &files)],
            StatusCode::BAD_REQUEST,
            "two parts",
        ),
        (
            &[("metadata", b"{\"environment\": {}}")],
            StatusCode::BAD_REQUEST,
            "unknown field `environment`",
        ),
        (
            &[
                ("metadata", b"{\"files\": [{\"path\": \"/a\"}]}"),
                ("component", &files),
            ],
            StatusCode::BAD_REQUEST,
            "no part \\\"/a\\\"",
        ),
        (
            &[("component", &files), ("/a/../b", b"")],
            StatusCode::BAD_REQUEST,
            "no path of a file",
        ),
        (
            &[("/a", &large), ("/b", &large)],
            StatusCode::TOO_MANY_REQUESTS,
            "files of a component",
        ),
        (
            &[("component", &[&large[..], &large].concat())],
            StatusCode::TOO_MANY_REQUESTS,
            "a component has at most 200000",
        ),
    ];
    for (parts, expected, text) in cases {
        let path = "/v1/components?name=files";
        let (status, _, body) = ask_with(&address, "POST", path, FORM, &form(parts)).await;
        assert!(
            status == expected && body.contains(text),
            "{text}: {status} {body}"
        );
    }
    let cut = &form(&[("component", &files)])[..1000];
    let (status, _, body) = ask_with(&address, "POST", "/v1/components?name=files", FORM, cut).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let (_, _, body) = ask(&address, "GET", "/v1/components", "", "").await;
    assert_eq!(body, r#"{"components":[]}"#);
}
