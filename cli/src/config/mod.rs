//! The configuration of a server: defaults, then a TOML file, then `KILN_A__B` variables, then flags.
//!
//! * [`schema`] – the sections and their defaults; [`units`] – durations and sizes as people write them
//! * [`load`] – the layers put together, with all problems at once
//! * [`dump`] – the effective values and where each came from

mod applications;
mod dump;
mod load;
mod network;
mod problems;
mod schema;
mod units;

pub(crate) use dump::{to_json, to_toml};
pub(crate) use load::{Flags, Loaded, load};
pub(crate) use problems::Problems;
pub(crate) use schema::{Config, Executor, Log, LogFormat, Role};
