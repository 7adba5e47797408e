use std::{collections::HashMap, sync::Arc};

use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Component, Linker, LinkerInstance, ResourceType, Val, types::ComponentItem},
};

use super::{
    Arguments, Catalog, Interface, ResourceKind, catalog::BoxedBody, conform::conform, handles::Handles,
};
use crate::{
    component::{ResourceNames, signature},
    host::{
        HostState,
        value::{Signature, lift, lower},
    },
};

impl Catalog {
    /// Adds to the linker what the component imports of these interfaces, in the shape in which it declares it. A function
    /// that the host does not know is left out, and found missing when the component is linked.
    ///
    /// # Errors
    /// When a name is defined twice.
    pub(crate) fn bind(&self, linker: &mut Linker<HostState>, component: &Component) -> wasmtime::Result<()> {
        each_import(component, |import| match self.find(import.name) {
            Some(interface) => bind(interface, &mut linker.instance(import.name)?, import.items),
            None => Ok(()),
        })
    }
}

fn bind(
    interface: &Interface,
    linker: &mut LinkerInstance<'_, HostState>,
    items: &[(&str, ComponentItem)],
) -> wasmtime::Result<()> {
    let names = resource_names(items);
    let own = interface.resources.iter();
    let kinds: Kinds = Arc::new(own.map(|(name, kind)| (Box::from(*name), *kind)).collect());
    for (name, item) in items {
        match item {
            ComponentItem::ComponentFunc(function) => {
                let Some(body) = interface.functions.get(name).copied() else {
                    continue;
                };
                define(
                    linker,
                    name,
                    Bound {
                        body: Box::new(body),
                        signature: signature(function, &names),
                        kinds: kinds.clone(),
                    },
                )?;
            }
            ComponentItem::Resource(_) => {
                let Some(kind) = interface.resources.get(name).copied() else {
                    continue;
                };
                linker.resource(
                    name,
                    ResourceType::host_dynamic(kind.number),
                    move |mut store, rep| (kind.drop)(store.data_mut(), rep),
                )?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// An interface that a component imports.
pub(crate) struct Imported<'a> {
    /// With its version.
    pub(crate) name: &'a str,
    pub(crate) items: &'a [(&'a str, ComponentItem)],
    /// The resources that are its own, not used from elsewhere.
    pub(crate) own: &'a ResourceNames,
    /// All resources that its functions may name. They go by the name under which they are imported first: interfaces that
    /// use them may call them otherwise.
    pub(crate) names: &'a ResourceNames,
}

/// Visits the interfaces that a component imports, in their order.
///
/// # Errors
/// The first one of `visit`.
pub(crate) fn each_import<E>(
    component: &Component,
    mut visit: impl FnMut(Imported<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let engine = component.engine();
    let ty = component.component_type();
    let mut names = ResourceNames::new();
    for (name, import) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = &import.ty else {
            continue;
        };
        let items: Vec<(&str, ComponentItem)> = instance
            .exports(engine)
            .map(|(name, item)| (name, item.ty))
            .collect();
        let mut own = resource_names(&items);
        own.retain(|(ty, _)| names.iter().all(|(known, _)| known != ty));
        names.extend(own.iter().cloned());
        visit(Imported {
            name,
            items: &items,
            own: &own,
            names: &names,
        })?;
    }
    Ok(())
}

/// The resources that an interface's items define.
fn resource_names(items: &[(&str, ComponentItem)]) -> ResourceNames {
    items
        .iter()
        .filter_map(|(name, item)| match item {
            ComponentItem::Resource(ty) => Some((*ty, Arc::from(*name))),
            _ => None,
        })
        .collect()
}

/// Gives a function of an import its body.
///
/// # Errors
/// When the name is defined already.
pub(in crate::host) fn define(
    linker: &mut LinkerInstance<'_, HostState>,
    name: &str,
    bound: Bound,
) -> wasmtime::Result<()> {
    let bound = Arc::new(bound);
    linker.func_new_async(name, move |store, _, params, results| {
        let bound = bound.clone();
        Box::new(async move { bound.call(store, params, results).await })
    })
}

/// The resources of an interface by the names of their types.
pub(in crate::host) type Kinds = Arc<HashMap<Box<str>, ResourceKind>>;

/// A body and the shape in which a component declares it.
pub(in crate::host) struct Bound {
    pub(in crate::host) body: BoxedBody,
    pub(in crate::host) signature: Signature,
    pub(in crate::host) kinds: Kinds,
}

impl Bound {
    async fn call(
        &self,
        mut store: StoreContextMut<'_, HostState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let mut arguments = Vec::with_capacity(params.len());
        for (val, param) in params.iter().zip(&self.signature.params) {
            let mut handles = Handles {
                store: store.as_context_mut(),
                kinds: &self.kinds,
            };
            let value = lift(val.clone(), &param.ty, &mut handles);
            arguments
                .push(value.map_err(|_| wasmtime::format_err!("the argument {} is malformed", param.name))?);
        }
        let result = (self.body)(store.data_mut(), Arguments::new(arguments)).await?;
        let (Some(slot), Some(ty)) = (results.first_mut(), &self.signature.result) else {
            return Ok(());
        };
        let result = result.ok_or_else(|| wasmtime::format_err!("the host function has no result"))?;
        let shaped = conform(result, ty).map_err(|unfit| wasmtime::format_err!("{unfit}"))?;
        let mut handles = Handles {
            store,
            kinds: &self.kinds,
        };
        *slot = lower(&shaped, ty, &mut handles)
            .map_err(|_| wasmtime::format_err!("the host's answer does not fit {ty}"))?;
        Ok(())
    }
}
