//! New connections: resolves, judges, and connects to the very address that was judged.

use std::net::SocketAddr;

use hyper::{Uri, client::conn::http1, http::uri::Scheme};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::{
    io::TokioIo,
    p2::bindings::http::types::{DnsErrorPayload, ErrorCode},
};

use super::{
    client::Client,
    exchange::Account,
    pool::{Line, Place},
    trouble,
};
use crate::host::egress::Refusal;

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

impl Place {
    pub(super) fn of(uri: &Uri, account: &Account) -> Result<Self, ErrorCode> {
        let authority = uri.authority().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(ErrorCode::HttpRequestUriInvalid);
        }
        Ok(Self {
            application: account.application.clone(),
            is_secure,
            host: host.to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
        })
    }
}

impl Client {
    pub(super) async fn open(&self, place: &Place) -> Result<Line, ErrorCode> {
        let mut last = ErrorCode::DestinationNotFound;
        for address in self.resolve(&place.host, place.port).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Small requests are the rule; a failure only costs time.
                    let _ = stream.set_nodelay(true);
                    return self.handshake(place, address, stream).await;
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
        place: &Place,
        address: SocketAddr,
        stream: TcpStream,
    ) -> Result<Line, ErrorCode> {
        if !place.is_secure {
            return self.speak(address, stream).await;
        }
        let name = ServerName::try_from(place.host.clone()).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(|error| trouble::of_tls(&error))?;
        self.speak(address, stream).await
    }

    async fn speak<S>(&self, address: SocketAddr, stream: S) -> Result<Line, ErrorCode>
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
        Ok(Line {
            sender,
            address,
            is_used: false,
            _task: task,
        })
    }
}
