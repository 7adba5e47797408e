use std::io;

use anyhow::Context;
use tokio::net::TcpListener;

use super::options::Place;
use crate::{config::Config, failure::Usage, process::patiently};

/// The sockets of a node, bound before anything else starts: an address in use is the likeliest failure.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(super) grpc: Vec<TcpListener>,
    pub(super) http: Option<TcpListener>,
}

impl Listeners {
    /// Binds; no HTTP when its address is empty.
    pub(crate) async fn bind(grpc: &str, http: &str) -> anyhow::Result<Self> {
        let grpc = vec![bind(grpc).await?];
        let http = if http.is_empty() {
            None
        } else {
            Some(bind(http).await?)
        };
        Ok(Self { grpc, http })
    }

    /// Lets a node serve on other sockets too.
    pub(crate) fn join(&mut self, other: Self) {
        self.grpc.extend(other.grpc);
        self.http = self.http.take().or(other.http);
    }

    /// The first gRPC address and the HTTP address, empty without HTTP.
    pub(crate) fn addresses(&self) -> anyhow::Result<(String, String)> {
        let address = |listener: &TcpListener| listener.local_addr().map(|address| address.to_string());
        let grpc = self.grpc.first().map(address).transpose()?.unwrap_or_default();
        let http = self.http.as_ref().map(address).transpose()?.unwrap_or_default();
        Ok((grpc, http))
    }

    /// Where others reach the node, and everywhere it listens: of a socket on all addresses of the machine, also the one
    /// that others use.
    pub(super) fn place(&self, config: &Config) -> anyhow::Result<Place> {
        let address = self.advertised(config)?;
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        let mut listeners = Vec::new();
        for listener in self.grpc.iter().chain(&self.http) {
            let bound = listener.local_addr().context("read the listener's address")?;
            listeners.push(bound.to_string());
            if bound.ip().is_unspecified() {
                listeners.push(format!("{host}:{}", bound.port()));
            }
        }
        Ok(Place { address, listeners })
    }

    /// What is configured, or else where it listens.
    fn advertised(&self, config: &Config) -> anyhow::Result<String> {
        if !config.node.advertise.is_empty() {
            return Ok(config.node.advertise.clone());
        }
        let listener = self.grpc.first().context("a node serves gRPC")?;
        let address = listener.local_addr().context("read the listener's address")?;
        if address.ip().is_unspecified() {
            return Err(Usage(format!(
                "node.advertise: needed, because others cannot reach {address}"
            ))
            .into());
        }
        Ok(address.to_string())
    }
}

async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let address = address.trim_start_matches("http://");
    let bound = patiently(
        |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse,
        || TcpListener::bind(address),
    );
    bound.await.with_context(|| format!("listen on {address}"))
}
