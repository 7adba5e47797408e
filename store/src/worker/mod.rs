//! What a worker's oplog amounts to.

mod fold;
mod regions;
mod retry;

pub use fold::{Fold, KeyChange};
pub use regions::contains;
