use std::time::Duration;

use crate::Address;

/// Where the cluster is and how long a call may take.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes of the cluster that accept public calls; tried in turn.
    pub endpoints: Vec<Address>,
    /// Ask the owner of a worker directly, and the endpoints only when it cannot be reached.
    pub direct: bool,
    /// Longest time for one call with all its retries.
    pub deadline: Duration,
    /// Longest time for an upload: a large component is compiled before it is accepted. Not shorter than `deadline`.
    pub upload_deadline: Duration,
    /// Give up after this time when no endpoint has ever answered; shorter than the deadline, because then
    /// the address is more likely wrong than the cluster away.
    pub first_contact: Duration,
    /// Longest time to connect to one address.
    pub connect_timeout: Duration,
    /// Largest message accepted or sent, in bytes.
    pub message_size_max: usize,
}

impl Options {
    /// The defaults for some endpoints.
    #[must_use]
    pub fn new(endpoints: Vec<Address>) -> Self {
        Self {
            endpoints,
            direct: true,
            deadline: Duration::from_secs(30),
            upload_deadline: Duration::from_secs(600),
            first_contact: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(1),
            message_size_max: 64 << 20,
        }
    }
}
