use std::time::Duration;

use anyhow::Context;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

/// Calls that still run get this long to end when the node stops.
const GRACE: Duration = Duration::from_millis(500);
/// A client that vanished is noticed after this interval and timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls in flight on one connection; more wait at the client.
const STREAMS_MAX: u32 = 4096;
/// Flow-control windows: one upload chunk on a stream, several on a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// The tasks that serve a node's sockets.
#[derive(Debug, Default)]
pub(super) struct Serving {
    tasks: JoinSet<anyhow::Result<()>>,
    stopping: CancellationToken,
}

impl Serving {
    /// Serves gRPC on one more socket.
    pub(super) fn grpc(&mut self, listener: TcpListener, routes: Routes) {
        let stopping = self.stopping.clone().cancelled_owned();
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .add_routes(routes);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        self.tasks.spawn(async move {
            server
                .serve_with_incoming_shutdown(incoming, stopping)
                .await
                .context("serve gRPC")
        });
    }

    /// Serves HTTP.
    pub(super) fn http(&mut self, listener: TcpListener, router: axum::Router) {
        let stopping = self.stopping.clone().cancelled_owned();
        self.tasks.spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stopping)
                .await
                .context("serve HTTP")
        });
    }

    /// Returns when a socket is served no more, which only a stop should bring about.
    pub(super) async fn failure(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended.context("a serving task panicked")?,
            None => std::future::pending().await,
        }
    }

    /// Takes no more calls, and lets those that run end within a moment; streams between nodes never do.
    pub(super) async fn stop(mut self) {
        self.stopping.cancel();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, drained).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}
