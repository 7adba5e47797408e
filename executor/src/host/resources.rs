use std::collections::BTreeMap;

use kiln_proto::v1::HandleValue;
use wasmtime::component::ResourceAny;

use super::value::{KeepResource, ResolveHandle};

/// The resources that a worker has given out, by the numbers in their handles: counted from 0, so that replay gives each
/// the same number again.
pub(crate) struct ResourceTable {
    uri: String,
    next: u64,
    kept: BTreeMap<u64, Kept>,
    /// Handles that change hands with the call that is being prepared.
    leaving: Vec<u64>,
}

struct Kept {
    resource: ResourceAny,
    ty: Box<str>,
}

impl ResourceTable {
    /// `uri` names the worker in the handles.
    pub(super) fn new(uri: String) -> Self {
        Self {
            uri,
            next: 0,
            kept: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    /// The call is on its way: forgets the handles that it took.
    pub(super) fn hand_over(&mut self) {
        for id in self.leaving.drain(..) {
            self.kept.remove(&id);
        }
    }

    /// The call was refused: everything stays.
    pub(super) fn give_back(&mut self) {
        self.leaving.clear();
    }

    fn check(&self, handle: &HandleValue, ty: &str) -> Result<&Kept, String> {
        if handle.uri != self.uri {
            return Err(format!(
                "a handle of {}: cannot resolve handle belonging to a different worker",
                handle.uri
            ));
        }
        let kept = self
            .kept
            .get(&handle.id)
            .ok_or_else(|| format!("handle {}: resource not found", handle.id))?;
        if *kept.ty != *ty {
            return Err(format!("handle {} of resource {}", handle.id, kept.ty));
        }
        Ok(kept)
    }
}

impl ResolveHandle for ResourceTable {
    fn resolve(&mut self, handle: &HandleValue, ty: &str, own: bool) -> Result<ResourceAny, String> {
        let resource = self.check(handle, ty)?.resource;
        if self.leaving.contains(&handle.id) {
            return Err(format!("handle {} given away twice", handle.id));
        }
        if own {
            self.leaving.push(handle.id);
        }
        Ok(resource)
    }
}

impl KeepResource for ResourceTable {
    fn keep(&mut self, resource: ResourceAny, ty: &str) -> HandleValue {
        let id = self.next;
        self.next += 1;
        self.kept.insert(
            id,
            Kept {
                resource,
                ty: ty.into(),
            },
        );
        HandleValue {
            uri: self.uri.clone(),
            id,
        }
    }
}
