use std::time::Duration;

use crate::plan::Limits;

/// How a manager works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where other nodes and clients reach this node, as `host:port`.
    pub address: String,
    /// Everywhere the node listens, as `host:port`: guests are kept away from there.
    pub listeners: Vec<String>,
    /// The node's name, for people.
    pub name: String,
    /// Addresses of all managers, this one included or not. Needed when managers may have come back at other
    /// addresses than those that they remember of each other; may be empty otherwise.
    pub managers: Vec<String>,
    /// How long a node counts as alive after its last report.
    pub lease: Duration,
    /// How often a manager reports to the leading one.
    pub report_interval: Duration,
    /// How long a node has to attend before it is given shards or leadership.
    pub settling_time: Duration,
    /// How long a node has to be silent before its replicas are replaced.
    pub replace_after: Duration,
    /// How often the plan is looked at when nothing happens.
    pub plan_interval: Duration,
    /// How much may be under way at once.
    pub limits: Limits,
}

impl Options {
    /// The defaults, for a node at this address.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            ..Self::default()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: String::new(),
            listeners: Vec::new(),
            name: String::new(),
            managers: Vec::new(),
            lease: Duration::from_secs(3),
            report_interval: Duration::from_millis(1000),
            settling_time: Duration::from_millis(300),
            replace_after: Duration::from_secs(60),
            plan_interval: Duration::from_millis(500),
            limits: Limits::default(),
        }
    }
}
