use std::{collections::HashMap, sync::Arc};

use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType, types::ComponentItem};

use super::{
    CLIENT, ClientCall,
    calls::{self, Declared},
    is_client,
    role::{self, Role},
};
use crate::{
    component::{FunctionName, ResourceNames, signature},
    host::{
        HostState, Imported,
        dynamic::{Bound, Kinds, define, each_import},
        golem::rpc::{future::FUTURE, schedule::TOKEN},
        is_offered,
        value::{Signature, Type},
    },
};

/// Links the clients that a component imports to calls of other components' workers. A function that is none of a client is
/// left out, and found missing when the component is linked. Returns which functions of other components may be called.
///
/// # Errors
/// When a name is defined twice.
pub(crate) fn bind_clients(
    linker: &mut Linker<HostState>,
    component: &Component,
) -> wasmtime::Result<Vec<ClientCall>> {
    let mut calls = Vec::new();
    each_import(component, |import| {
        if !is_client(import.name) {
            return bind_types(linker, &import);
        }
        let client = Client {
            import: import.name.into(),
            items: import.items,
            own: import.own,
            names: import.names,
        };
        client.bind(&mut linker.instance(import.name)?, &mut calls)
    })?;
    Ok(calls)
}

/// A client shares types with the interface that it was made from. A component that also exports that interface imports it,
/// for the types alone, with its resources: nobody ever has one of those.
fn bind_types(linker: &mut Linker<HostState>, import: &Imported<'_>) -> wasmtime::Result<()> {
    let is_function = |(_, item): &(&str, ComponentItem)| matches!(item, ComponentItem::ComponentFunc(_));
    if is_offered(import.name) || import.items.iter().any(is_function) {
        return Ok(());
    }
    let mut types = linker.instance(import.name)?;
    for (_, name) in import.own {
        types.resource(name, ResourceType::host::<Nobody>(), |_, _| Ok(()))?;
    }
    Ok(())
}

/// A resource that does not exist.
struct Nobody;

struct Client<'a> {
    import: Arc<str>,
    items: &'a [(&'a str, ComponentItem)],
    /// The resources that are its own, not used from elsewhere.
    own: &'a ResourceNames,
    /// All resources that its functions may name.
    names: &'a ResourceNames,
}

impl Client<'_> {
    fn bind(
        &self,
        linker: &mut LinkerInstance<'_, HostState>,
        calls: &mut Vec<ClientCall>,
    ) -> wasmtime::Result<()> {
        let mut kinds = HashMap::from([(Box::from(role::TOKEN), TOKEN)]);
        for (_, name) in self.own {
            let kind = if role::is_future(name) { FUTURE } else { CLIENT };
            kinds.insert(Box::from(&**name), kind);
            let ty = ResourceType::host_dynamic(kind.number);
            if role::is_future(name) {
                linker.resource(name, ty, move |mut store, rep| (kind.drop)(store.data_mut(), rep))?;
            } else {
                linker.resource_async(name, ty, |mut store, rep| {
                    Box::new(async move { calls::let_go(store.data_mut(), rep).await })
                })?;
            }
        }
        let kinds: Kinds = Arc::new(kinds);
        let others: Vec<&str> = self.items.iter().map(|(name, _)| *name).collect();
        for (name, item) in self.items {
            let ComponentItem::ComponentFunc(function) = item else {
                continue;
            };
            let signature = signature(function, self.names);
            let Some(role) = Role::of(name, &signature, &others) else {
                continue;
            };
            calls.extend(self.call(name, &role, &signature));
            let declared = Declared {
                import: self.import.clone(),
                role,
                signature: signature.clone(),
            };
            let bound = Bound {
                body: declared.into_body(),
                signature,
                kinds: kinds.clone(),
            };
            define(linker, name, bound)?;
        }
        Ok(())
    }

    /// The function that a method calls.
    fn call(&self, name: &str, role: &Role, signature: &Signature) -> Option<ClientCall> {
        let FunctionName::Method { resource, .. } = FunctionName::from_export(name) else {
            return None;
        };
        // The first parameter is the client itself.
        let mut params: Vec<Type> = signature
            .params
            .iter()
            .skip(1)
            .map(|param| param.ty.clone())
            .collect();
        let (function, result) = match role {
            Role::Call(function) => (function, signature.result.clone()),
            Role::Send(function) | Role::Begin(function) => (function, None),
            Role::Schedule(function) => {
                params.pop();
                (function, None)
            }
            Role::Connect { .. } | Role::Subscribe | Role::Fetch => return None,
        };
        Some(ClientCall {
            import: self.import.clone(),
            resource: resource.into(),
            function: function.clone(),
            params,
            result,
        })
    }
}
