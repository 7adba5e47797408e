use std::collections::HashMap;

use kiln_proto::v1::{HandleValue, Value, value::Kind};
use wasmtime::{
    StoreContextMut,
    component::{Resource, ResourceAny, ResourceDynamic},
};
use wasmtime_wasi::p2::DynPollable;

use super::ResourceKind;
use crate::host::{
    HostState,
    value::{KeepResource, ResolveHandle},
};

/// The one resource of WASI that these interfaces share with it.
const POLLABLE: &str = "pollable";
/// Stands for a resource that is not what it is declared to be.
const NO_ID: u64 = u64::MAX;

/// A resource of the host as a value: only its number counts, the rest is known from the declared type.
pub(in crate::host) fn handle(rep: u32) -> Value {
    Value {
        kind: Some(Kind::Handle(HandleValue {
            uri: String::new(),
            id: rep.into(),
        })),
    }
}

/// Turns resources of the host into numbers and back, by the names of their types.
pub(super) struct Handles<'a> {
    pub(super) store: StoreContextMut<'a, HostState>,
    pub(super) kinds: &'a HashMap<Box<str>, ResourceKind>,
}

impl KeepResource for Handles<'_> {
    fn keep(&mut self, resource: ResourceAny, ty: &str) -> HandleValue {
        let rep = if ty == POLLABLE {
            resource
                .try_into_resource::<DynPollable>(&mut self.store)
                .map(|resource| resource.rep())
        } else {
            resource
                .try_into_resource_dynamic(&mut self.store)
                .map(|resource| resource.rep())
        };
        HandleValue {
            uri: String::new(),
            id: rep.map_or(NO_ID, Into::into),
        }
    }
}

impl ResolveHandle for Handles<'_> {
    fn resolve(&mut self, handle: &HandleValue, ty: &str, _own: bool) -> Result<ResourceAny, String> {
        let rep = u32::try_from(handle.id).map_err(|_| format!("no {ty} has this number"))?;
        let resource = if ty == POLLABLE {
            Resource::<DynPollable>::new_own(rep).try_into_resource_any(&mut self.store)
        } else {
            let kind = self
                .kinds
                .get(ty)
                .ok_or_else(|| format!("the host has no resource {ty}"))?;
            ResourceDynamic::new_own(rep, kind.number).try_into_resource_any(&mut self.store)
        };
        resource.map_err(|error| error.to_string())
    }
}
