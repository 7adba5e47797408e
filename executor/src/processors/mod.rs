//! Oplog processors: components that are given the oplogs of another one's workers (`golem:api/oplog-processor`).
//!
//! ```text
//! source worker's shard: owner ── batch, one after the other ──▶ processor's worker, one for each source and processor
//!                          ▲                                              │ runs `process` once for each batch's key
//!                          └────── where to go on, at a change of owner ◀─┘ from its own oplog
//! ```
//!
//! * Entries come in the order of their indexes, and only committed ones. Each arrives at least once, with its index; twice when an
//!   owner is replaced while it still believes that it is one.
//! * How far a processor is, only its own oplog says: its last call of `process` names the first index and the entries. Nothing
//!   else has to be kept, and both can never disagree.
//! * A call that fails, or that answers with an error, is made again after a pause, with the same entries.
//!
//! * `follow` – for an owned shard: which of its workers have processors, and which of them have news
//! * `delivery` – the batches from one worker to one processor
//! * `progress` – what a processor's oplog says
//! * `contract` – what components export for it, in the versions of the contract
//! * `target` – the processor's worker, and how it is called

mod contract;
mod delivery;
mod follow;
mod progress;
mod target;

pub(crate) use contract::Contract as ProcessorContract;
pub(crate) use follow::follow;
