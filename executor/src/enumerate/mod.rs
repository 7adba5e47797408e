//! Listing, counting and watching workers over all shards.
//!
//! One shard:
//! * [`filter`] – the grammar of filters, as a typed tree, and what it makes of a worker that is partly known
//! * `plan` – from a filter and counters to the index that is searched
//! * `local` – a replica's state at one moment; `scan` – a page of it; `count` – a number from counters or rows
//! * `ask`, `wire` – asking a shard here, at its owner, or at any replica
//!
//! All shards:
//! * `query` – what is asked for and what comes back; `fan_out` – pages and counts; `stream` – everything, in order
//! * `watch` – changes from now on
//! * `cursor`, `seal` – where a caller was, as a text that only this cluster can make
//! * `present` – the public calls

mod ask;
mod count;
mod cursor;
mod fan_out;
pub mod filter;
mod local;
mod plan;
mod present;
mod query;
mod scan;
mod seal;
mod stream;
mod watch;
mod wire;

pub(crate) use ask::{Question, ToOwner, read};
pub(crate) use count::Count;
pub(crate) use fan_out::Enumerator;
pub(crate) use query::Query;
pub(crate) use scan::Scan;
pub(crate) use watch::{Watch, WatchShard};
