//! Invocations: checked before they are accepted, ended in one of a few ways, retried by policy.

mod accept;
pub(crate) mod outcome;
pub(crate) mod retry;

pub(crate) use accept::{Input, check, restore};
