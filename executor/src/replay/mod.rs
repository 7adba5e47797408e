//! Replay: matching what the guest does with what its oplog says it did.
//!
//! * [`Divergence`] – the guest did something else than is recorded
//! * [`step`] – one host call against the next recorded entry; [`writes`] – remote writes of several steps
//! * [`Kind`] – how a host call touches the world, which decides when it is committed

mod divergence;
mod kind;
pub mod step;
pub mod writes;

pub use divergence::{Divergence, describe};
pub use kiln_proto::convert::oplog::kind_name;
pub use kind::Kind;
