//! A whole executor on a real store with one replica a shard, over gRPC and HTTP. Only the shard managers are played.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test panics to fail")]

mod apis;
mod clients;
mod components;
mod control;
mod enumeration;
mod files;
mod hostile;
mod http;
mod invocations;
mod lifecycle;
mod managers;
mod memory;
mod node;
mod oplog;
mod processors;
mod rpc;
#[path = "../shared_guests/mod.rs"]
mod shared_guests;
mod storage;
mod storage_limits;
mod toolchains;
mod versions;
mod waiting;
