//! Listing and counting workers over all shards.
//!
//! * [`filter`] – the grammar of filters, as a typed tree
//! * `cursor` – where a page ended
//! * `scan` – one shard: here, or at its owner
//! * `fan_out` – all shards, merged into pages

mod cursor;
mod fan_out;
pub mod filter;
mod scan;

pub(crate) use fan_out::Enumerator;
pub(crate) use scan::{CountShard, ScanShard, count_rows, scan_rows};
