use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use wasmtime_wasi_http::{RequestOptions, p2::bindings::http::types::ErrorCode};

use super::super::{
    client::{Client, Outgoing},
    exchange::Account,
    late_body,
};
use crate::host::{HttpOptions, NetworkOptions, egress::EgressPolicy};

/// Counts connections.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Answers one request after the other, until one asks for an end.
async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut first, mut line) = (String::new(), String::new());
        stream.read_line(&mut first).await?;
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        let answer = if first.starts_with("GET /cut") {
            "content-length: 10\r\n\r\nok"
        } else {
            "content-length: 2\r\n\r\nok"
        };
        let answer = format!("HTTP/1.1 200 OK\r\n{answer}");
        stream.write_all(answer.as_bytes()).await?;
        if !first.starts_with("GET / ") {
            return Ok(());
        }
    }
}

fn client(http: HttpOptions) -> Client {
    let egress = EgressPolicy {
        allow_addresses: vec!["127.0.0.0/8".parse().expect("a range")],
        ..EgressPolicy::default()
    };
    Client::new(NetworkOptions { egress, http })
}

/// A request of an application, whose response is read to its end.
async fn fetch(client: &Client, application: &str, server: &Server, path: &str) -> Result<Bytes, ErrorCode> {
    send(client, application, server, path, true).await
}

async fn send(
    client: &Client,
    application: &str,
    server: &Server,
    path: &str,
    is_repeatable: bool,
) -> Result<Bytes, ErrorCode> {
    let nothing = Empty::new().map_err(|never| match never {});
    let request = Request::get(format!("http://{}{path}", server.address))
        .body(nothing.boxed_unsync())
        .expect("a request");
    let outgoing = Outgoing {
        request,
        options: RequestOptions::default(),
        is_repeatable,
    };
    let account = Account {
        turns: Arc::new(Semaphore::new(1)),
        application: application.into(),
    };
    let arrived = client.send(outgoing, account).await?;
    let body = arrived.response.into_body().collect().await;
    let body = body.map_err(late_body::code)?;
    drop(arrived.connection);
    Ok(body.to_bytes())
}

#[tokio::test]
async fn requests_in_turn_share_a_connection() {
    let (server, client) = (Server::start().await, client(HttpOptions::default()));
    for _ in 0..5 {
        assert_eq!(fetch(&client, "a", &server, "/").await.expect("an answer"), "ok");
    }
    assert_eq!(server.connections(), 1);
    fetch(&client, "b", &server, "/").await.expect("an answer");
    assert_eq!(server.connections(), 2, "another application");
    send(&client, "a", &server, "/", false).await.expect("an answer");
    assert_eq!(server.connections(), 3, "a request that must not be repeated");
}

#[tokio::test]
async fn a_connection_that_has_come_to_an_end_is_replaced() {
    let (server, client) = (Server::start().await, client(HttpOptions::default()));
    let error = fetch(&client, "a", &server, "/cut").await.expect_err("it is cut");
    assert!(matches!(error, ErrorCode::ConnectionTerminated), "{error:?}");
    fetch(&client, "a", &server, "/last").await.expect("an answer");
    assert_eq!(server.connections(), 2, "after a failure");
    let is_closed = || {
        let idle = client.pool.idle.lock();
        idle.iter().all(|idle| idle.line.sender.is_closed())
    };
    let closing = async {
        while !is_closed() {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closing)
        .await
        .expect("the server closes it");
    fetch(&client, "a", &server, "/").await.expect("an answer");
    assert_eq!(server.connections(), 3, "after the server has closed it");
}

#[tokio::test]
async fn few_wait_and_not_for_long() {
    let server = Server::start().await;
    let none = client(HttpOptions {
        idle_connections_max: 0,
        ..HttpOptions::default()
    });
    let short = client(HttpOptions {
        idle_timeout: Duration::ZERO,
        ..HttpOptions::default()
    });
    for client in [none, short] {
        let before = server.connections();
        for _ in 0..3 {
            fetch(&client, "a", &server, "/").await.expect("an answer");
        }
        assert_eq!(server.connections(), before + 3);
    }
}

#[tokio::test]
async fn a_place_that_has_been_closed_is_not_reached_by_a_connection_that_waits() {
    let (server, client) = (Server::start().await, client(HttpOptions::default()));
    fetch(&client, "a", &server, "/").await.expect("an answer");
    client.network.egress.own.set(vec![server.address]);
    let error = fetch(&client, "a", &server, "/").await.expect_err("it is closed");
    assert!(matches!(error, ErrorCode::DestinationIpProhibited), "{error:?}");
}
