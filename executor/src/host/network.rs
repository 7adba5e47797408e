use std::time::Duration;

use super::egress::EgressPolicy;

/// What guests may do on the network, and its bounds.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Where they may connect to.
    pub egress: EgressPolicy,
    /// Outgoing HTTP.
    pub http: HttpOptions,
}

/// Bounds of outgoing HTTP.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Requests of all guests of a node in flight: from the connection to the end of the response. Others wait for their turn.
    pub requests_max: usize,
    /// Requests of one worker in flight.
    pub requests_per_worker_max: usize,
    /// Header fields of a request or a response together.
    pub header_bytes_max: usize,
    /// Most of a body that one read gives, and that one entry of the oplog holds.
    pub chunk_bytes_max: usize,
    /// Most of a request's body that is kept while a worker replays, in case that it has to be sent again.
    pub held_body_bytes_max: usize,
    /// Largest body of a response by a component that serves HTTP.
    pub served_body_bytes_max: usize,
    /// Connections of a node that wait for another request.
    pub idle_connections_max: usize,
    /// How long one waits at most. Common servers close theirs after five seconds at the earliest.
    pub idle_timeout: Duration,
    /// How long connecting may take, where the guest sets no other time-out.
    pub connect_timeout: Duration,
    /// How long the response's head may take.
    pub first_byte_timeout: Duration,
    /// How long the response's body may pause.
    pub between_bytes_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            requests_max: 1024,
            requests_per_worker_max: 100,
            header_bytes_max: 128 << 10,
            chunk_bytes_max: 64 << 10,
            held_body_bytes_max: 8 << 20,
            served_body_bytes_max: 8 << 20,
            idle_connections_max: 256,
            idle_timeout: Duration::from_secs(4),
            connect_timeout: Duration::from_secs(30),
            first_byte_timeout: Duration::from_secs(600),
            between_bytes_timeout: Duration::from_secs(600),
        }
    }
}
