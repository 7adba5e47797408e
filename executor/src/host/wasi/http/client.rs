//! Sends requests: resolves, judges, connects to the very address that was judged, and speaks HTTP/1.1.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{Request, Response, Uri, client::conn::http1, http::uri::Scheme};
use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::{
    RequestOptions, WasiBody,
    io::TokioIo,
    p2::bindings::http::types::{DnsErrorPayload, ErrorCode},
};

use super::{incoming_body::Incoming, trouble};
use crate::host::{HttpOptions, NetworkOptions, egress::Refusal};

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What all guests of a node share to send requests.
pub(crate) struct Client {
    pub(in crate::host) network: NetworkOptions,
    turns: Arc<Semaphore>,
    tls: TlsConnector,
}

/// A response whose head has arrived.
pub(super) struct Arrived {
    pub(super) response: Response<WasiBody>,
    /// Moves the bytes; the connection closes when it is dropped.
    pub(super) connection: Connection,
}

/// A connection in use, with the places that it takes among the requests in flight.
pub(super) struct Connection {
    _task: AbortOnDropJoinHandle<()>,
    _turns: [OwnedSemaphorePermit; 2],
}

/// How long the parts of a request may take.
struct Patience {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Patience {
    fn new(wanted: RequestOptions, defaults: &HttpOptions) -> Self {
        Self {
            connect: wanted.connect_timeout.unwrap_or(defaults.connect_timeout),
            first_byte: wanted.first_byte_timeout.unwrap_or(defaults.first_byte_timeout),
            between_bytes: wanted
                .between_bytes_timeout
                .unwrap_or(defaults.between_bytes_timeout),
        }
    }
}

impl Client {
    pub(in crate::host) fn new(network: NetworkOptions) -> Self {
        let roots = rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.into(),
        };
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            turns: Arc::new(Semaphore::new(
                network.http.requests_max.min(Semaphore::MAX_PERMITS),
            )),
            tls: TlsConnector::from(Arc::new(tls)),
            network,
        }
    }

    /// Sends a request and waits for the head of its response. `worker` bounds the requests of one worker.
    ///
    /// # Errors
    /// What the guest may see of it.
    pub(super) async fn send(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
        worker: Arc<Semaphore>,
    ) -> Result<Arrived, ErrorCode> {
        let patience = Patience::new(options, &self.network.http);
        let uri = request.uri().clone();
        let connecting = async {
            let full = |_| ErrorCode::ConnectionLimitReached;
            let turns = [
                worker.acquire_owned().await.map_err(full)?,
                self.turns.clone().acquire_owned().await.map_err(full)?,
            ];
            let stream = self.connect(&uri).await?;
            Ok::<_, ErrorCode>((turns, self.handshake(&uri, stream).await?))
        };
        let (turns, (mut sender, task)) = timeout(patience.connect, connecting)
            .await
            .map_err(|_| ErrorCode::ConnectionTimeout)??;
        let sending = sender.send_request(origin_form(request)?);
        let response = timeout(patience.first_byte, sending)
            .await
            .map_err(|_| ErrorCode::ConnectionReadTimeout)?
            .map_err(|error| trouble::of_hyper(&error))?;
        self.check_head(&response)?;
        let response = response.map(|body| Incoming::new(body, patience.between_bytes).boxed_unsync());
        let connection = Connection {
            _task: task,
            _turns: turns,
        };
        Ok(Arrived { response, connection })
    }

    async fn connect(&self, uri: &Uri) -> Result<TcpStream, ErrorCode> {
        let (host, port) = destination(uri)?;
        self.network
            .egress
            .check_host(host, port)
            .map_err(|_| ErrorCode::HttpRequestDenied)?;
        let addresses = self.resolve(host, port).await?;
        let mut last = ErrorCode::DestinationNotFound;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Small requests are the rule; a failure only costs time.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = trouble::of_connect(&error),
            }
        }
        Err(last)
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ErrorCode> {
        let unknown = |rcode: &str| {
            ErrorCode::DnsError(DnsErrorPayload {
                rcode: Some(rcode.to_owned()),
                info_code: None,
            })
        };
        let found: Vec<SocketAddr> = lookup_host((host, port))
            .await
            .map_err(|_| unknown("name not resolved"))?
            .take(ADDRESSES_MAX)
            .collect();
        if found.is_empty() {
            return Err(unknown("no address"));
        }
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.network.egress.check_address(*address) != Err(Refusal::Address))
            .collect();
        if allowed.is_empty() {
            return Err(ErrorCode::DestinationIpProhibited);
        }
        Ok(allowed)
    }

    async fn handshake(
        &self,
        uri: &Uri,
        stream: TcpStream,
    ) -> Result<(http1::SendRequest<WasiBody>, AbortOnDropJoinHandle<()>), ErrorCode> {
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return self.speak(stream).await;
        }
        let (host, _) = destination(uri)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(|error| trouble::of_tls(&error))?;
        self.speak(stream).await
    }

    async fn speak<S>(
        &self,
        stream: S,
    ) -> Result<(http1::SendRequest<WasiBody>, AbortOnDropJoinHandle<()>), ErrorCode>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        // hyper refuses less.
        const BUFFER_MIN: usize = 8 << 10;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.network.http.header_bytes_max.max(BUFFER_MIN))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| trouble::of_hyper(&error))?;
        let task = spawn(async move {
            // Whoever waits for the response or its body sees the failure there.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a guest's connection ended");
            }
        });
        Ok((sender, task))
    }

    fn check_head<B>(&self, response: &Response<B>) -> Result<(), ErrorCode> {
        let size: usize = response
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if size > self.network.http.header_bytes_max {
            return Err(ErrorCode::HttpResponseHeaderSectionSize(u32::try_from(size).ok()));
        }
        Ok(())
    }
}

/// Host, without the brackets of an IPv6 address, and port.
fn destination(uri: &Uri) -> Result<(&str, u16), ErrorCode> {
    let authority = uri.authority().ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let default = if uri.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    let host = authority.host();
    let host = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() {
        return Err(ErrorCode::HttpRequestUriInvalid);
    }
    Ok((host, authority.port_u16().unwrap_or(default)))
}

/// As it goes over the wire: scheme and authority are for proxies only.
fn origin_form(mut request: Request<WasiBody>) -> Result<Request<WasiBody>, ErrorCode> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('?') {
        format!("/{path}")
    } else {
        path.to_owned()
    };
    *request.uri_mut() = path.parse().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    Ok(request)
}
