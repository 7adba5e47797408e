//! Every manager takes every request; what only the leading one can do is forwarded to it.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use kiln_proto::{Error, v1};
use tokio::time::Instant;
use tonic::{Request, transport::Channel};
use v1::shard_manager_service_client::ShardManagerServiceClient;

use crate::inner::{Inner, Lead, not_founded};

pub(crate) type Client = ShardManagerServiceClient<Channel>;

/// Metadata that says how often a request has been forwarded.
const HOPS: &str = "kiln-hops";
/// How long a request waits for a leading manager: longer than an election takes.
const ROUTE_FOR: Duration = Duration::from_secs(5);
/// How long one forwarded attempt may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(4);
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// A component's chunk, or the map of the largest cluster, with room to spare.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Who does it.
pub(crate) enum Route {
    /// This manager, which leads.
    Here(Arc<Lead>),
    /// The leading one.
    There(Client),
}

/// True when another manager has forwarded the request: it must not travel on.
pub(crate) fn was_forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(HOPS)
}

/// The message as another manager gets it.
pub(crate) fn forwarded<T>(message: T) -> Request<T> {
    let mut request = unbounded(message);
    request.set_timeout(FORWARD_TIMEOUT);
    request
}

/// The same for streams, which may last.
pub(crate) fn unbounded<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(HOPS, tonic::metadata::MetadataValue::from_static("1"));
    request
}

impl Inner {
    /// A connection to another manager.
    pub(crate) fn client(&self, address: &str) -> Result<Client, Error> {
        let client = ShardManagerServiceClient::new(self.channels.get(address)?);
        Ok(client
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Waits until it is known who leads.
    pub(crate) async fn route(&self, deadline: Instant) -> Result<Route, Error> {
        let mut lead = self.lead.subscribe();
        let mut leadership = self.group.leadership();
        loop {
            if let Some(lead) = lead.borrow_and_update().clone() {
                return Ok(Route::Here(lead));
            }
            let leader = leadership.borrow_and_update().leader;
            let address = leader.filter(|leader| *leader != self.store.node_id());
            if let Some(address) = address.and_then(|leader| self.store.peers().get(leader)) {
                return Ok(Route::There(self.client(&address)?));
            }
            if !self.group.is_initialized() {
                return Err(not_founded());
            }
            tokio::select! {
                _ = lead.changed() => {}
                _ = leadership.changed() => {}
                () = self.stopping.cancelled() => return Err(Error::unavailable("this shard manager is stopping")),
                () = tokio::time::sleep_until(deadline) => return Err(self.leaderless()),
            }
        }
    }

    fn leaderless(&self) -> Error {
        let voters = self.group.voters();
        Error::unavailable(format!(
            "the {} shard managers have no leader: more than half of them must be running and reach each other",
            voters.len()
        ))
        .with_hint("start the missing managers; the request can be repeated")
    }

    /// Has the leading manager do it; tries again for a while when leadership changes meanwhile. What `attempt` does
    /// must therefore be harmless to repeat.
    pub(crate) async fn at_leader<T>(
        &self,
        was_forwarded: bool,
        attempt: impl Fn(Route) -> BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + ROUTE_FOR;
        loop {
            let route = self.route(deadline).await?;
            if was_forwarded && matches!(route, Route::There(_)) {
                return Err(Error::unavailable("this shard manager does not lead any more"));
            }
            match attempt(route).await {
                Err(error) if error.is_retryable() && Instant::now() + RETRY_DELAY < deadline => {
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                done => return done,
            }
        }
    }
}
