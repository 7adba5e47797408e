//! `wasi:keyvalue`: buckets of keys that all workers of an application share.
//!
//! * `bindings` – made from `wit/wasi-keyvalue`
//! * `types` – buckets and values; `error` – why something failed
//! * `eventual`, `eventual_batch`, `atomic`, `cache` – the interfaces, one file each
//! * `calls` – the calls on storage that several interfaces make

#![allow(
    unreachable_pub,
    reason = "the generated bindings give the types of the guest's handles on"
)]

mod atomic;
mod bindings;
mod cache;
mod calls;
mod error;
mod eventual;
mod eventual_batch;
mod types;

use wasmtime::component::{HasSelf, Linker};

use super::HostState;

/// Offers all interfaces of the package but `handle-watch`, which guests would have to export.
pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    use bindings::wasi::keyvalue as own;
    type Own = HasSelf<HostState>;
    own::types::add_to_linker::<_, Own>(linker, |state| state)?;
    own::wasi_keyvalue_error::add_to_linker::<_, Own>(linker, |state| state)?;
    own::eventual::add_to_linker::<_, Own>(linker, |state| state)?;
    own::eventual_batch::add_to_linker::<_, Own>(linker, |state| state)?;
    own::atomic::add_to_linker::<_, Own>(linker, |state| state)?;
    own::cache::add_to_linker::<_, Own>(linker, |state| state)
}
