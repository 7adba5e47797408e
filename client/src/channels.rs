//! Lazily connected gRPC channels, one an address.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use kiln_proto::Error;
use tonic::transport::{Channel, Endpoint};

use crate::Address;

/// A silent connection is given up after this interval and timeout, so that a machine that vanished is noticed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an address that could not be reached is left alone while there are others.
const AVOID_FOR: Duration = Duration::from_secs(2);
/// Flow-control windows: one whole upload chunk in flight on a stream, several on a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// The channels of a client and which addresses failed lately.
#[derive(Debug)]
pub(crate) struct Channels {
    connect_timeout: Duration,
    channels: DashMap<Address, Channel>,
    failed_at: DashMap<Address, Instant>,
}

impl Channels {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            channels: DashMap::new(),
            failed_at: DashMap::new(),
        }
    }

    /// The channel to an address; it connects at its first use and again after a loss.
    pub(crate) fn get(&self, address: &Address) -> Result<Channel, Error> {
        if let Some(channel) = self.channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.endpoint(address)?.connect_lazy();
        Ok(self.channels.entry(address.clone()).or_insert(channel).clone())
    }

    fn endpoint(&self, address: &Address) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from_shared(address.uri())
            .map_err(|_| Error::invalid(format!("\"{address}\" is not an endpoint")))?;
        endpoint
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .user_agent(concat!("kiln-client/", env!("CARGO_PKG_VERSION")))
            .map_err(|_| Error::internal("the user agent is malformed"))
    }

    /// Notes that an address could not be reached.
    pub(crate) fn mark_failed(&self, address: &Address) {
        self.failed_at.insert(address.clone(), Instant::now());
    }

    pub(crate) fn mark_answered(&self, address: &Address) {
        if !self.failed_at.is_empty() {
            self.failed_at.remove(address);
        }
    }

    /// True when the address could not be reached a moment ago.
    pub(crate) fn is_avoided(&self, address: &Address) -> bool {
        !self.failed_at.is_empty()
            && self
                .failed_at
                .get(address)
                .is_some_and(|at| at.elapsed() < AVOID_FOR)
    }
}
