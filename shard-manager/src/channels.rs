use std::{collections::HashMap, time::Duration};

use kiln_proto::Error;
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How soon a connection whose other end has vanished is noticed: twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// One connection to each address, made when it is first used.
#[derive(Default)]
pub(crate) struct Channels {
    by_address: Mutex<HashMap<String, Channel>>,
}

impl Channels {
    pub(crate) fn get(&self, address: &str) -> Result<Channel, Error> {
        let mut channels = self.by_address.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = connect(address)?;
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

fn connect(address: &str) -> Result<Channel, Error> {
    let uri = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let endpoint = Endpoint::from_shared(uri)
        .map_err(|error| Error::invalid(format!("\"{address}\" is not an address: {error}")))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .tcp_nodelay(true)
        .connect_lazy())
}
