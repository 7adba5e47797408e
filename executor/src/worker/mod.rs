//! Workers in memory: one actor each.
//!
//! * `mailbox` – what can be asked of a worker
//! * `actor` – the task that answers, and runs the guest one invocation at a time
//! * `requests`, `endings`, `halts` – what it does when asked, when work ends, and when work is stopped
//! * `update`, `revert`, `cancel`, `adopt` – requests that rewrite what the worker is
//! * `origin` – which version runs, and where its state comes from
//! * `attend` – work that takes long, with an ear for messages meanwhile
//! * `desk` – invocations that were accepted, and who waits for them; `accept` takes them in
//! * `body` – code, oplog and instance: loading, replay, one run
//! * `files` – what operators see of a worker's folder
//! * `seat` – the shard that the worker lives in, under the epoch of this ownership
//! * `residency` – how many workers may be in memory, and how much of it they may take; `activity` – which are idle
//! * `info` – a worker as operators see it

mod accept;
mod activity;
mod actor;
mod adopt;
mod attend;
mod body;
mod cancel;
mod desk;
mod endings;
mod files;
mod halts;
pub(crate) mod info;
mod mailbox;
mod origin;
mod requests;
mod residency;
mod revert;
mod seat;
mod update;

pub(crate) use activity::Activity;
pub(crate) use actor::Actor;
pub(crate) use adopt::adopted_before;
pub(crate) use mailbox::{Adoption, Answer, Cancel, Create, Files, Invoke, Message, Reply, Revert, Update};
pub(crate) use residency::{Residency, Wanted};
pub(crate) use seat::Seat;
