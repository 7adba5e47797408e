//! `wasi:blobstore`: containers of objects that all workers of an application share.
//!
//! * `bindings` – made from `wit/wasi-blobstore`
//! * `types`, `container`, `blobstore` – the interfaces, one file each
//! * `names` – the listing of a container's objects

#![allow(
    unreachable_pub,
    reason = "the generated bindings give the types of the guest's handles on"
)]

mod bindings;
#[allow(
    clippy::module_inception,
    reason = "the package and one of its interfaces have the same name"
)]
mod blobstore;
mod container;
mod names;
mod types;

use wasmtime::component::{HasSelf, Linker};

use super::HostState;

/// Offers all interfaces of the package.
pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    use bindings::wasi::blobstore as own;
    type Own = HasSelf<HostState>;
    own::types::add_to_linker::<_, Own>(linker, |state| state)?;
    own::container::add_to_linker::<_, Own>(linker, |state| state)?;
    own::blobstore::add_to_linker::<_, Own>(linker, |state| state)
}
