//! Where guests may connect to: decisions only, no I/O.
//!
//! * [`EgressPolicy`] – the rules, and what they say about a destination
//! * [`AddressRange`], [`HostPattern`] – what the rules are written in

mod host;
mod policy;
mod range;
mod special;

pub use host::HostPattern;
pub use policy::{EgressPolicy, OwnAddresses, Refusal};
pub use range::{AddressRange, RangeError};
