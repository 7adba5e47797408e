//! Sends requests, and speaks HTTP/1.1. A connection whose exchange came to its end waits for another one.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{Request, Response};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{RequestOptions, WasiBody, p2::bindings::http::types::ErrorCode};

use super::{
    exchange::Account,
    incoming_body::Incoming,
    pool::{Line, Place, Pool},
    trouble,
};
use crate::host::{HttpOptions, NetworkOptions};

/// What all guests of a node share to send requests.
pub(crate) struct Client {
    pub(in crate::host) network: NetworkOptions,
    pub(super) tls: TlsConnector,
    turns: Arc<Semaphore>,
    pub(super) pool: Arc<Pool>,
}

/// A request that is to be sent.
pub(super) struct Outgoing {
    pub(super) request: Request<WasiBody>,
    pub(super) options: RequestOptions,
    /// It may be sent again. One that must not be has a connection of its own: a server may close one that waits just as it
    /// is used again, and then nobody knows what became of the request.
    pub(super) is_repeatable: bool,
}

/// A response whose head has arrived.
pub(super) struct Arrived {
    pub(super) response: Response<WasiBody>,
    /// To be dropped after the body.
    pub(super) connection: Connection,
}

/// A connection in use, with the places that it takes among the requests in flight.
pub(super) struct Connection {
    line: Option<(Place, Line)>,
    pool: Arc<Pool>,
    _turns: [OwnedSemaphorePermit; 2],
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some((place, line)) = self.line.take() {
            self.pool.put(place, line);
        }
    }
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
            pool: Arc::new(Pool::new(&network.http)),
            network,
        }
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// What the guest may see of it.
    pub(super) async fn send(&self, outgoing: Outgoing, account: Account) -> Result<Arrived, ErrorCode> {
        let Outgoing {
            request,
            options,
            is_repeatable,
        } = outgoing;
        let patience = Patience::new(options, &self.network.http);
        let place = Place::of(request.uri(), &account)?;
        let connecting = async {
            let full = |_| ErrorCode::ConnectionLimitReached;
            let turns = [
                account.turns.acquire_owned().await.map_err(full)?,
                self.turns.clone().acquire_owned().await.map_err(full)?,
            ];
            Ok::<_, ErrorCode>((turns, self.line(&place, is_repeatable).await?))
        };
        let (turns, mut line) = timeout(patience.connect, connecting)
            .await
            .map_err(|_| ErrorCode::ConnectionTimeout)??;
        let mut request = origin_form(request)?;
        let response = loop {
            let sent = timeout(patience.first_byte, line.sender.try_send_request(request)).await;
            let mut error = match sent.map_err(|_| ErrorCode::ConnectionReadTimeout)? {
                Ok(response) => break response,
                Err(error) => error,
            };
            match error.take_message() {
                // It was closed while it waited, and nothing of the request was sent.
                Some(unsent) if line.is_used => request = unsent,
                _ => return Err(trouble::of_hyper(error.error())),
            }
            line = timeout(patience.connect, self.line(&place, is_repeatable))
                .await
                .map_err(|_| ErrorCode::ConnectionTimeout)??;
        };
        self.check_head(&response)?;
        let response = response.map(|body| Incoming::new(body, patience.between_bytes).boxed_unsync());
        let connection = Connection {
            line: Some((place, line)),
            pool: self.pool.clone(),
            _turns: turns,
        };
        Ok(Arrived { response, connection })
    }

    /// A connection that waits, or a new one.
    async fn line(&self, place: &Place, may_be_used: bool) -> Result<Line, ErrorCode> {
        self.network
            .egress
            .check_host(&place.host, place.port)
            .map_err(|_| ErrorCode::HttpRequestDenied)?;
        if may_be_used && let Some(line) = self.pool.take(place, &self.network.egress).await {
            return Ok(line);
        }
        self.open(place).await
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
