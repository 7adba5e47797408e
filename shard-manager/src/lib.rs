//! The replicated control plane: who is alive, which node holds which shard, which components exist.
//!
//! * [`Manager`] – one of 1, 3 or 5 replicas of the control plane: start it, mount its [`Service`], shut it down
//! * [`plan`] – what to do next: a pure function of the replicated state and of what has been observed
//! * [`state`] – the replicated state, the commands that change it, and its tables
//!
//! Inside: `grpc` takes requests and `route` brings them to the leading manager; `lead` watches and plans there, `act`
//! carries the steps out, `attempts` remembers which failed; `health` knows the leases, `attend` the streams that renew
//! them, `map` what readers see of it all; `bootstrap` founds the cluster, `operate` is what operators ask for, `registry` keeps
//! components, `follow` is what every manager does.

mod act;
mod attempts;
mod attend;
mod bootstrap;
mod channels;
mod follow;
mod grpc;
mod health;
mod inner;
mod lead;
mod manager;
mod map;
mod operate;
mod options;
pub mod plan;
mod registry;
mod route;
pub mod state;

pub use grpc::Service;
pub use manager::Manager;
pub use map::SharedMap;
pub use options::Options;
