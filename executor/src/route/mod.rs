//! From a worker's name to the node that owns it.
//!
//! * [`ClusterView`] – the newest map and who was seen to own what
//! * [`Channels`] – connections to other nodes
//! * [`Backoff`] – pauses between attempts
//! * `deadline` – how long a caller waits
//! * `operation` – what can be done here or passed on
//! * `router` – here, or to the owner, again and again until the deadline

mod backoff;
mod channels;
mod deadline;
mod map;
mod operation;
mod router;

pub(crate) use backoff::Backoff;
pub(crate) use channels::Channels;
pub(crate) use deadline::Patience;
pub(crate) use map::{ClusterView, Map};
pub(crate) use operation::{Operation, RemoteCall};
pub(crate) use router::Router;
