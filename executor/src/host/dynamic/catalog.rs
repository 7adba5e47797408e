use std::{collections::HashMap, future::Future, pin::Pin};

use kiln_proto::v1::Value;
use wasmtime::component::Resource;

use super::Arguments;
use crate::host::HostState;

/// What a body returns: the result, or nothing for a function without one.
pub(in crate::host) type Outcome<'a> =
    Pin<Box<dyn Future<Output = wasmtime::Result<Option<Value>>> + Send + 'a>>;

/// The body of a host function, for all shapes of it.
pub(in crate::host) type Body = for<'a> fn(&'a mut HostState, Arguments) -> Outcome<'a>;

/// A body that knows more than its arguments: which function of which import it stands for, for example.
pub(in crate::host) type BoxedBody =
    Box<dyn for<'a> Fn(&'a mut HostState, Arguments) -> Outcome<'a> + Send + Sync>;

/// A kind of resource that guests get from the host. Its number sets it apart from the others.
#[derive(Clone, Copy)]
pub(in crate::host) struct ResourceKind {
    pub(in crate::host) number: u32,
    pub(in crate::host) drop: fn(&mut HostState, u32) -> wasmtime::Result<()>,
}

impl ResourceKind {
    /// Resources that are values of type `T` in the table of the worker's host.
    pub(in crate::host) const fn of<T: Send + 'static>(number: u32) -> Self {
        Self {
            number,
            drop: |state, rep| {
                state.table.delete(Resource::<T>::new_own(rep))?;
                Ok(())
            },
        }
    }

    /// As [`ResourceKind::of`], with something to do when the guest lets it go.
    pub(in crate::host) const fn with_drop(
        number: u32,
        drop: fn(&mut HostState, u32) -> wasmtime::Result<()>,
    ) -> Self {
        Self { number, drop }
    }
}

/// One interface in all shapes.
pub(in crate::host) struct Interface {
    /// Without its version.
    pub(super) name: &'static str,
    /// Versions that are offered, each a whole one or, ending in a dot, a track.
    pub(super) versions: &'static [&'static str],
    pub(super) functions: HashMap<&'static str, Body>,
    pub(super) resources: HashMap<&'static str, ResourceKind>,
}

impl Interface {
    pub(in crate::host) fn new(name: &'static str, versions: &'static [&'static str]) -> Self {
        Self {
            name,
            versions,
            functions: HashMap::new(),
            resources: HashMap::new(),
        }
    }

    /// Adds a function under each of its names.
    pub(in crate::host) fn function(mut self, names: &[&'static str], body: Body) -> Self {
        self.functions.extend(names.iter().map(|name| (*name, body)));
        self
    }

    /// Adds a resource under each of its names.
    pub(in crate::host) fn resource(mut self, names: &[&'static str], kind: ResourceKind) -> Self {
        self.resources.extend(names.iter().map(|name| (*name, kind)));
        self
    }

    fn fits(&self, import: &str) -> bool {
        let (name, version) = import.split_once('@').unwrap_or((import, ""));
        let fits = |offered: &&str| match offered.ends_with('.') {
            true => version.starts_with(*offered),
            false => version == *offered,
        };
        name == self.name && self.versions.iter().any(fits)
    }
}

/// The interfaces that are bound by shape.
pub(crate) struct Catalog {
    interfaces: Vec<Interface>,
}

impl Catalog {
    pub(in crate::host) fn new(interfaces: Vec<Interface>) -> Self {
        Self { interfaces }
    }

    /// The interface that an import names.
    pub(super) fn find(&self, import: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.fits(import))
    }

    /// True when the interface is one of these, and has no such function.
    pub(crate) fn lacks(&self, import: &str, function: &str) -> bool {
        self.find(import)
            .is_some_and(|interface| !interface.functions.contains_key(function))
    }

    /// True when the host offers an interface of this name and version.
    pub(crate) fn offers(&self, import: &str) -> bool {
        self.find(import).is_some()
    }
}
