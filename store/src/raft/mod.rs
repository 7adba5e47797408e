//! Raft groups. The only place that names openraft.

mod codec;
mod config;
#[cfg(test)]
mod conformance;
mod group;
mod log;
mod maintenance;
mod port;
mod snapshot;
mod state_machine;
mod supervisor;
mod transport;
mod types;

pub(crate) use config::{Config, config};
pub use group::{COMMAND_BYTES_MAX, Group, Leadership};
pub(crate) use log::{LogStore, LogWriter, TailMemory};
pub(crate) use maintenance::Maintenance;
pub(crate) use port::Ports;
pub use transport::Peers;
pub(crate) use transport::{Service, Transport};

/// Name of the folder of a snapshot whose installation has begun.
pub(crate) fn installation_folder(marker: &[u8]) -> Result<String, crate::Error> {
    Ok(snapshot::decode_installation(marker)?.folder)
}
