//! The replicated control state: what is stored, the commands that change it, and views of it.

mod components;
mod keys;
mod machine;
mod records;
mod removal;
mod view;

pub(crate) use components::{blob_chunks, chunk, find, list};
pub use machine::ControlMachine;
pub(crate) use machine::{already_founded, unknown_node};
pub(crate) use records::{
    Change, Command, Found, Outcome, PutChunk, Register, Reply, SetDraining, SetPlacements, ShardPlacement,
    decode, encode,
};
pub use records::{Cluster, Node, Placement, State};
pub(crate) use view::View;
use view::number_of;
