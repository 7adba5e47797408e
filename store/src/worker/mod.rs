//! What a worker's oplog amounts to.

mod fold;
mod regions;
mod retry;
mod updates;

pub use fold::{Fold, KeyChange};
pub use regions::contains;
