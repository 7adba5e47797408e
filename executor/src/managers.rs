//! The way to the shard managers: any of them answers, and says who leads when that matters.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use kiln_proto::{Error, v1::shard_manager_service_client::ShardManagerServiceClient};
use tokio::time::Instant;
use tonic::{Status, transport::Channel};

use crate::route::{Backoff, Channels};

/// A client of one manager.
pub(crate) type ManagerClient = ShardManagerServiceClient<Channel>;

const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The known managers, with the one that answered last first in line.
#[derive(Debug)]
pub(crate) struct Managers {
    channels: Arc<Channels>,
    addresses: ArcSwap<Vec<String>>,
    current: AtomicUsize,
}

impl Managers {
    /// Starts from the configured addresses.
    #[must_use]
    pub(crate) fn new(channels: Arc<Channels>, addresses: Vec<String>) -> Self {
        Self {
            channels,
            addresses: ArcSwap::from_pointee(addresses),
            current: AtomicUsize::new(0),
        }
    }

    /// Takes in addresses that the map names, in addition to those that are known.
    pub(crate) fn learn(&self, addresses: &[String]) {
        let known = self.addresses.load();
        let mut all = (**known).clone();
        all.extend(
            addresses
                .iter()
                .filter(|address| !known.contains(address))
                .cloned(),
        );
        if all.len() > known.len() {
            self.addresses.store(Arc::new(all));
        }
    }

    /// A client of the manager in favour.
    ///
    /// # Errors
    /// `UNAVAILABLE` when none is configured.
    pub(crate) fn client(&self) -> Result<ManagerClient, Error> {
        let addresses = self.addresses.load();
        let position = self.current.load(Ordering::Relaxed);
        let Some(address) = addresses.get(position % addresses.len().max(1)) else {
            return Err(Error::unavailable("no shard manager is configured"));
        };
        self.client_at(address)
    }

    /// Favours the address that a hint names, or else the next one.
    pub(crate) fn turn_away(&self, error: &Error) {
        let addresses = self.addresses.load();
        let hinted = error
            .owner
            .as_ref()
            .filter(|owner| !owner.address.is_empty())
            .map(|owner| &owner.address);
        match hinted {
            Some(address) => match addresses.iter().position(|known| known == address) {
                Some(position) => self.current.store(position, Ordering::Relaxed),
                None => {
                    self.learn(std::slice::from_ref(address));
                    self.current.store(addresses.len(), Ordering::Relaxed);
                }
            },
            None => {
                self.current.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Asks managers in turn until one answers with more than "not now".
    ///
    /// # Errors
    /// What the manager said, or `UNAVAILABLE` when none answered within `timeout`.
    pub(crate) async fn call<R, F, Fut>(&self, timeout: Duration, ask: F) -> Result<R, Error>
    where
        F: Fn(ManagerClient) -> Fut,
        Fut: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        let deadline = Instant::now() + timeout;
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(250));
        loop {
            let attempt = async { ask(self.client()?).await.map_err(Error::from) };
            let error = match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(error)) if !error.is_retryable() => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => Error::unavailable("it does not answer"),
            };
            self.turn_away(&error);
            let pause = backoff.next_pause();
            if Instant::now() + pause >= deadline {
                return Err(self.unavailable(&error));
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn client_at(&self, address: &str) -> Result<ManagerClient, Error> {
        let client = ManagerClient::new(self.channels.get(address)?);
        Ok(client
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    fn unavailable(&self, last: &Error) -> Error {
        let addresses = self.addresses.load().join(", ");
        Error::unavailable(format!(
            "no shard manager of {addresses} answers; the last one said: {last}"
        ))
        .with_hint("start a majority of the shard managers")
    }
}
