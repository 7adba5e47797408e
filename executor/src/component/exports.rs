use std::sync::Arc;

use wasmtime::component::{Component, ComponentExportIndex, types::ComponentItem};

use super::{
    function::{FunctionName, FunctionRef, InterfaceName},
    types::{ResourceNames, signature},
};
use crate::host::{
    HANDLER_EXPORTED, HANDLER_INTERFACE, handler_signature,
    value::{Param, Signature, Type},
};

/// The functions that a component exports.
#[derive(Debug, Default)]
pub struct Exports {
    functions: Vec<FunctionRef>,
}

/// What stands behind a function of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// An exported function of the component.
    Export(ComponentExportIndex),
    /// The handler of a component that serves HTTP: called with a record instead of the host's resources.
    HttpHandler(ComponentExportIndex),
    /// Drops the resource that the handle names.
    DropResource,
}

impl Exports {
    /// All functions, in the component's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &FunctionRef> {
        self.functions.iter()
    }

    /// True when `function` comes from this very table.
    pub(crate) fn contains(&self, function: &FunctionRef) -> bool {
        self.functions
            .get(function.slot)
            .is_some_and(|own| own.is_same(function))
    }

    /// Lists what the component exports, with what stands behind each.
    pub(super) fn of(component: &Component) -> (Self, Vec<Target>) {
        let mut table = Table {
            component,
            functions: Vec::new(),
            targets: Vec::new(),
        };
        table.collect();
        (
            Self {
                functions: table.functions,
            },
            table.targets,
        )
    }

    #[cfg(test)]
    pub(super) fn from_functions(functions: Vec<FunctionRef>) -> Self {
        Self { functions }
    }
}

/// componentize-py exports an instance of this name for itself, to initialise the interpreter while it builds.
const PRIVATE_INSTANCE: &str = "exports";

struct Table<'c> {
    component: &'c Component,
    functions: Vec<FunctionRef>,
    targets: Vec<Target>,
}

impl Table<'_> {
    fn collect(&mut self) {
        let engine = self.component.engine();
        let ty = self.component.component_type();
        let world: Vec<(&str, ComponentItem)> = ty
            .exports(engine)
            .map(|(name, export)| (name, export.ty))
            .collect();
        self.add_items(None, None, &world);
        for (name, item) in &world {
            let ComponentItem::ComponentInstance(instance) = item else {
                continue;
            };
            if *name == PRIVATE_INSTANCE {
                continue;
            }
            let Some(parent) = self.component.get_export_index(None, name) else {
                continue;
            };
            let items: Vec<(&str, ComponentItem)> = instance
                .exports(engine)
                .map(|(name, export)| (name, export.ty))
                .collect();
            if name.split('@').next() == Some(HANDLER_EXPORTED) {
                self.add_http_handler(&parent);
                continue;
            }
            self.add_items(Some(&InterfaceName::parse(name)), Some(&parent), &items);
        }
    }

    fn add_http_handler(&mut self, parent: &ComponentExportIndex) {
        const HANDLE: &str = "handle";
        if let Some(index) = self.component.get_export_index(Some(parent), HANDLE) {
            let interface = InterfaceName::parse(HANDLER_INTERFACE);
            let name = FunctionName::Plain(HANDLE.to_owned());
            self.add(
                Some(&interface),
                name,
                handler_signature(),
                Target::HttpHandler(index),
            );
        }
    }

    fn add_items(
        &mut self,
        interface: Option<&InterfaceName>,
        parent: Option<&ComponentExportIndex>,
        items: &[(&str, ComponentItem)],
    ) {
        let resources: ResourceNames = items
            .iter()
            .filter_map(|(name, item)| match item {
                ComponentItem::Resource(ty) => Some((*ty, Arc::from(*name))),
                _ => None,
            })
            .collect();
        for (name, item) in items {
            let ComponentItem::ComponentFunc(function) = item else {
                continue;
            };
            let Some(index) = self.component.get_export_index(parent, name) else {
                continue;
            };
            let signature = signature(function, &resources);
            self.add(
                interface,
                FunctionName::from_export(name),
                signature,
                Target::Export(index),
            );
        }
        for (_, name) in resources {
            let param = Param {
                name: "self".into(),
                ty: Type::Own(name.clone()),
            };
            let signature = Signature {
                params: vec![param],
                result: None,
            };
            self.add(
                interface,
                FunctionName::Drop {
                    resource: name.to_string(),
                },
                signature,
                Target::DropResource,
            );
        }
    }

    fn add(
        &mut self,
        interface: Option<&InterfaceName>,
        name: FunctionName,
        signature: Signature,
        target: Target,
    ) {
        let slot = self.targets.len();
        self.functions
            .push(FunctionRef::new(interface.cloned(), name, signature, slot));
        self.targets.push(target);
    }
}
