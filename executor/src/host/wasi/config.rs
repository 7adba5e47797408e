use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use crate::host::HostState;

/// Why a variable cannot be read. Never happens: they are fixed when the worker is created.
#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

/// Offers `wasi:config/store`. Nothing is recorded, since the variables never change.
pub(in crate::host) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut store = linker.instance("wasi:config/store@0.2.0-draft")?;
    store.func_wrap("get", |store, (key,): (String,)| {
        let config = &store.data().context.config;
        let value = config
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.clone());
        Ok((Ok::<Option<String>, Error>(value),))
    })?;
    store.func_wrap("get-all", |store, (): ()| {
        Ok((Ok::<Vec<(String, String)>, Error>(
            store.data().context.config.clone(),
        ),))
    })
}
