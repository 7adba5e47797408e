use wasmtime::component::{Component, InstancePre, Linker, types::ComponentItem};

use super::Error;
use crate::host::{HostState, is_offered};

/// Names of the interfaces and functions that a component imports; interfaces of types only are left out.
pub(super) fn names(component: &Component) -> Vec<String> {
    let ty = component.component_type();
    let engine = component.engine();
    let needs_host = |item: &ComponentItem| !matches!(item, ComponentItem::Type(_));
    let imports = ty.imports(engine).filter(|(_, import)| match &import.ty {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).any(|(_, export)| needs_host(&export.ty))
        }
        item => needs_host(item),
    });
    imports.map(|(name, _)| name.to_owned()).collect()
}

/// Resolves the imports. wasmtime stops at the first that does not fit; here all that are missing are named.
pub(super) fn link(
    component: &Component,
    linker: &Linker<HostState>,
) -> Result<InstancePre<HostState>, Error> {
    linker.instantiate_pre(component).map_err(|first| {
        let missing: Vec<String> = names(component)
            .into_iter()
            .filter(|name| !is_offered(name))
            .collect();
        // An interface that is offered, but without a function or with another signature.
        let missing = if missing.is_empty() {
            vec![format!("{first:#}")]
        } else {
            missing
        };
        Error::MissingImports { missing }
    })
}
