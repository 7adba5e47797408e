//! The log of a group: a tail in memory, the log instance below, one writer thread for all groups of the node.

mod store;
mod tail;
mod volume;
mod writer;

pub(crate) use store::LogStore;
pub(crate) use tail::TailMemory;
pub(crate) use volume::Volume;
pub(crate) use writer::{LogWriter, Write};
