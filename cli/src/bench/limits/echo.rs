//! A bare unary gRPC call against a server of our own, in a process of its own.

use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use kiln_proto::v1::{
    EchoMessage,
    echo_service_client::EchoServiceClient,
    echo_service_server::{EchoService, EchoServiceServer},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    task::JoinSet,
};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server, server::TcpIncoming},
};

use super::super::server_cost::cpu_ms;

/// About the size of a small invocation.
const PAYLOAD_BYTES: usize = 64;
const CONCURRENCY: usize = 64;
const PHASE: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(300);

pub(super) struct Measured {
    pub(super) p50_ms: f64,
    pub(super) requests_per_second: f64,
    pub(super) cpu_ms_per_request: f64,
}

/// Starts an echo server as a child and measures it; the child ends with this call.
pub(super) async fn measure() -> anyhow::Result<Measured> {
    let (server, address) = start().await?;
    let channel = Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await
        .context("connect to the echo server")?;
    call_for(&channel, WARM_UP).await?;
    let mut times = call_for(&channel, PHASE).await?;
    times.sort_unstable();
    let p50_ms = times[times.len() / 2].as_secs_f64() * 1000.0;

    let pid = server.id().context("the echo server ended")?;
    let cpu_before = cpu_ms(pid).context("read the echo server's processor time")?;
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let channel = channel.clone();
        callers.spawn(async move { call_for(&channel, PHASE).await.map(|times| times.len()) });
    }
    let mut requests = 0;
    while let Some(finished) = callers.join_next().await {
        requests += finished??;
    }
    let cpu = cpu_ms(pid).context("read the echo server's processor time")? - cpu_before;
    Ok(Measured {
        p50_ms,
        requests_per_second: requests as f64 / started.elapsed().as_secs_f64(),
        cpu_ms_per_request: cpu / requests.max(1) as f64,
    })
}

async fn start() -> anyhow::Result<(Child, String)> {
    let mut server = Command::new(std::env::current_exe().context("find this program")?)
        .args(["bench", "echo-server"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the echo server")?;
    let stdout = server.stdout.take().context("the echo server has no stdout")?;
    let address = BufReader::new(stdout)
        .lines()
        .next_line()
        .await?
        .context("the echo server ended")?;
    Ok((server, address))
}

/// Calls one at a time; the time of each.
async fn call_for(channel: &Channel, duration: Duration) -> anyhow::Result<Vec<Duration>> {
    let mut client = EchoServiceClient::new(channel.clone());
    let payload: Bytes = vec![0x5a; PAYLOAD_BYTES].into();
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < duration {
        let began = Instant::now();
        client
            .echo(EchoMessage {
                payload: payload.clone(),
            })
            .await
            .context("call the echo server")?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Serves echoes on a free port, which is the only line on stdout, until it is killed.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    crate::command::line(&listener.local_addr()?.to_string())?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(EchoServiceServer::from_arc(Arc::new(Echo)))
        .serve_with_incoming(incoming)
        .await
        .context("serve echoes")
}

struct Echo;

#[tonic::async_trait]
impl EchoService for Echo {
    async fn echo(&self, request: Request<EchoMessage>) -> Result<Response<EchoMessage>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}
