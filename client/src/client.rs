use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use kiln_proto::{
    Error,
    v1::{
        cluster_service_client::ClusterServiceClient, component_service_client::ComponentServiceClient,
        worker_service_client::WorkerServiceClient,
    },
};
use tonic::transport::Channel;

use crate::{Address, Options, channels::Channels, routes::Routes};

/// A client of one cluster. Cheap to clone; clones share connections and routes.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    channels: Channels,
    routes: Routes,
    /// Which endpoint is asked first.
    preferred: AtomicUsize,
    /// An endpoint has answered before.
    was_answered: AtomicBool,
}

impl Client {
    /// A client that connects at its first call.
    ///
    /// # Errors
    /// `INVALID` without endpoints.
    pub fn new(options: Options) -> Result<Self, Error> {
        if options.endpoints.is_empty() {
            return Err(Error::invalid("a client needs an endpoint"));
        }
        Ok(Self(Arc::new(Inner {
            channels: Channels::new(options.connect_timeout),
            options,
            routes: Routes::default(),
            preferred: AtomicUsize::new(0),
            was_answered: AtomicBool::new(false),
        })))
    }

    /// A client of the endpoints in a list separated by commas, with the default options.
    ///
    /// # Errors
    /// `INVALID` when an endpoint is malformed.
    pub fn connect(endpoints: &str) -> Result<Self, Error> {
        Self::new(Options::new(Address::parse_list(endpoints)?))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn channels(&self) -> &Channels {
        &self.0.channels
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// The endpoint to ask now: the preferred one, or the next that has not just failed.
    pub(crate) fn endpoint(&self) -> Address {
        let endpoints = &self.0.options.endpoints;
        let first = self.0.preferred.load(Ordering::Relaxed);
        (0..endpoints.len())
            .map(|offset| &endpoints[(first + offset) % endpoints.len()])
            .find(|address| !self.0.channels.is_avoided(address))
            .unwrap_or(&endpoints[first % endpoints.len()])
            .clone()
    }

    /// Lets the next call begin with another endpoint.
    pub(crate) fn rotate_endpoints(&self) {
        self.0.preferred.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn was_answered(&self) -> bool {
        self.0.was_answered.load(Ordering::Relaxed)
    }

    pub(crate) fn set_answered(&self, address: &Address) {
        self.0.channels.mark_answered(address);
        if !self.was_answered() {
            self.0.was_answered.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn workers(&self, channel: Channel) -> WorkerServiceClient<Channel> {
        let size_max = self.0.options.message_size_max;
        WorkerServiceClient::new(channel)
            .max_decoding_message_size(size_max)
            .max_encoding_message_size(size_max)
    }

    pub(crate) fn components(&self, channel: Channel) -> ComponentServiceClient<Channel> {
        ComponentServiceClient::new(channel).max_decoding_message_size(self.0.options.message_size_max)
    }

    pub(crate) fn clusters(&self, channel: Channel) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(channel).max_decoding_message_size(self.0.options.message_size_max)
    }
}
