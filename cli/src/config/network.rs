//! The network as guests see it.

use std::str::FromStr;

use kiln_executor::host::{
    HttpOptions, NetworkOptions,
    egress::{AddressRange, EgressPolicy, HostPattern},
};
use serde::{Deserialize, Serialize, de};

use super::{
    schema::Executor,
    units::{Size, Span},
};

/// Where guests may connect to. Addresses that are not public (loopback, private, link-local and other special ranges) are
/// closed unless `allow_addresses` opens them; the cluster's own listeners stay closed even then.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Egress {
    /// Hosts that may be reached, as `example.com` or `*.example.com`; all when empty.
    pub(crate) allow_hosts: Vec<Text<HostPattern>>,
    /// Hosts that may not.
    pub(crate) deny_hosts: Vec<Text<HostPattern>>,
    /// Ports that may be reached; all when empty.
    pub(crate) allow_ports: Vec<u16>,
    /// Ports that may not.
    pub(crate) deny_ports: Vec<u16>,
    /// Addresses that may be reached although they are not public, as `10.1.0.0/16`.
    pub(crate) allow_addresses: Vec<Text<AddressRange>>,
    /// Addresses that may not.
    pub(crate) deny_addresses: Vec<Text<AddressRange>>,
    /// Guests may reach the cluster's own listeners, where the rules above allow it.
    pub(crate) allow_own: bool,
    /// Guests may open TCP connections of their own.
    pub(crate) tcp: bool,
    /// Guests may send and receive UDP.
    pub(crate) udp: bool,
}

/// Bounds of outgoing HTTP, and of HTTP that components serve.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Http {
    /// Requests of all guests of the node in flight; others wait.
    pub(crate) requests_max: usize,
    /// Requests of one worker in flight.
    pub(crate) requests_per_worker_max: usize,
    /// Header fields of a request or a response together.
    pub(crate) header_size_max: Size,
    /// Most of a body that one read gives and one oplog entry holds.
    pub(crate) chunk_size_max: Size,
    /// Most of a request's body that is kept while a worker replays, in case that it has to be sent again.
    pub(crate) held_body_size_max: Size,
    /// Largest body of a response by a component that serves HTTP.
    pub(crate) served_body_size_max: Size,
    /// Connections of a node that wait for another request.
    pub(crate) idle_connections_max: usize,
    /// How long one waits at most. Common servers close theirs after five seconds at the earliest.
    pub(crate) idle_timeout: Span,
    /// How long connecting may take, where the guest sets no other time-out.
    pub(crate) connect_timeout: Span,
    /// How long the head of a response may take.
    pub(crate) first_byte_timeout: Span,
    /// How long the body of a response may pause.
    pub(crate) between_bytes_timeout: Span,
}

/// Something that is written as text.
#[derive(Debug, Clone)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: ToString> Serialize for Text<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

impl<'de, T> Deserialize<'de> for Text<T>
where
    T: FromStr<Err: std::fmt::Display>,
{
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

impl Default for Http {
    fn default() -> Self {
        let http = HttpOptions::default();
        Self {
            requests_max: http.requests_max,
            requests_per_worker_max: http.requests_per_worker_max,
            header_size_max: Size(http.header_bytes_max as u64),
            chunk_size_max: Size(http.chunk_bytes_max as u64),
            held_body_size_max: Size(http.held_body_bytes_max as u64),
            served_body_size_max: Size(http.served_body_bytes_max as u64),
            idle_connections_max: http.idle_connections_max,
            idle_timeout: Span(http.idle_timeout),
            connect_timeout: Span(http.connect_timeout),
            first_byte_timeout: Span(http.first_byte_timeout),
            between_bytes_timeout: Span(http.between_bytes_timeout),
        }
    }
}

impl Executor {
    /// The network in the executor's words.
    pub(crate) fn network(&self) -> NetworkOptions {
        let Http {
            requests_max,
            requests_per_worker_max,
            header_size_max,
            chunk_size_max,
            held_body_size_max,
            served_body_size_max,
            idle_connections_max,
            idle_timeout,
            connect_timeout,
            first_byte_timeout,
            between_bytes_timeout,
        } = self.http;
        let http = HttpOptions {
            requests_max,
            requests_per_worker_max,
            header_bytes_max: header_size_max.bytes(),
            chunk_bytes_max: chunk_size_max.bytes(),
            held_body_bytes_max: held_body_size_max.bytes(),
            served_body_bytes_max: served_body_size_max.bytes(),
            idle_connections_max,
            idle_timeout: idle_timeout.0,
            connect_timeout: connect_timeout.0,
            first_byte_timeout: first_byte_timeout.0,
            between_bytes_timeout: between_bytes_timeout.0,
        };
        NetworkOptions {
            egress: self.egress.policy(),
            http,
        }
    }
}

impl Egress {
    fn policy(&self) -> EgressPolicy {
        EgressPolicy {
            allow_hosts: inner(&self.allow_hosts),
            deny_hosts: inner(&self.deny_hosts),
            allow_ports: self.allow_ports.clone(),
            deny_ports: self.deny_ports.clone(),
            allow_addresses: inner(&self.allow_addresses),
            deny_addresses: inner(&self.deny_addresses),
            allow_own: self.allow_own,
            tcp: self.tcp,
            udp: self.udp,
            ..EgressPolicy::default()
        }
    }
}

fn inner<T: Clone>(list: &[Text<T>]) -> Vec<T> {
    list.iter().map(|Text(value)| value.clone()).collect()
}
