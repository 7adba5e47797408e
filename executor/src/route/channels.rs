use std::time::Duration;

use dashmap::DashMap;
use kiln_proto::Error;
use tonic::transport::{Channel, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A silent connection is given up after interval and timeout, so that a machine that vanished is noticed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Lazily connected gRPC channels to other nodes, one an address.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    channels: DashMap<String, Channel>,
}

impl Channels {
    /// The channel to `host:port`; it connects at its first use and again after a loss.
    ///
    /// # Errors
    /// `INVALID` when the address is none.
    pub(crate) fn get(&self, address: &str) -> Result<Channel, Error> {
        if let Some(channel) = self.channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = endpoint(address)?.connect_lazy();
        Ok(self.channels.entry(address.to_owned()).or_insert(channel).clone())
    }

    /// Lets go of all connections. A node is connected to itself too: that one would keep its own server alive.
    pub(crate) fn clear(&self) {
        self.channels.clear();
    }
}

fn endpoint(address: &str) -> Result<Endpoint, Error> {
    let uri = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let endpoint = Endpoint::from_shared(uri)
        .map_err(|_| Error::invalid(format!("\"{address}\" is not an address of the form host:port")))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}
