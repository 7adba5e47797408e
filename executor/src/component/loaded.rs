use std::path::{Path, PathBuf};

use wasmtime::component::{Component, InstancePre};

use super::{Digest, Error, Exports, FunctionRef, UnknownFunction, contract, exports::Target, imports};
use crate::host::{ClientCall, Engine, HostState, bind_clients, catalog};

/// A component that is compiled, linked and ready to be instantiated.
pub struct LoadedComponent {
    digest: Digest,
    engine: Engine,
    pre: InstancePre<HostState>,
    exports: Exports,
    targets: Vec<Target>,
    imports: Vec<String>,
    clients: Vec<ClientCall>,
    scratch: Option<PathBuf>,
    initial_memory_bytes: u64,
}

impl LoadedComponent {
    /// Links a compiled component with what the host offers.
    ///
    /// # Errors
    /// [`Error::MissingImports`] naming each import that the host does not offer.
    pub(super) fn link(
        digest: Digest,
        component: &Component,
        engine: &Engine,
        linker: &wasmtime::component::Linker<HostState>,
    ) -> Result<Self, Error> {
        let mut linker = linker.clone();
        let clients = catalog()
            .bind(&mut linker, component)
            .and_then(|()| bind_clients(&mut linker, component))
            .map_err(|error| Error::Invalid {
                message: format!("{error:#}"),
            })?;
        let pre = imports::link(component, &linker)?;
        let (exports, targets) = Exports::of(component);
        let imports = imports::names(component);
        Ok(Self {
            digest,
            engine: engine.clone(),
            pre,
            exports,
            targets,
            imports,
            clients,
            scratch: None,
            initial_memory_bytes: initial_memory(component),
        })
    }

    /// Makes sure that the component declares the runtime's interfaces as some version of them does.
    ///
    /// # Errors
    /// [`Error::MissingImports`] naming each function that is declared otherwise.
    pub(super) fn check_contract(&self) -> Result<(), Error> {
        let missing = contract::misfits(self.pre.component());
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::MissingImports { missing })
        }
    }

    /// Says where instances keep their file systems, if the component uses files at all.
    pub(super) fn with_scratch(mut self, dir: &Path) -> Self {
        let uses_files = |import: &String| import.starts_with("wasi:filesystem/preopens@");
        self.scratch = self.imports.iter().any(uses_files).then(|| dir.to_owned());
        self
    }

    /// The SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The functions that it exports.
    #[must_use]
    pub fn exports(&self) -> &Exports {
        &self.exports
    }

    /// Names of the interfaces and functions that it imports.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Finds an exported function by the name that a user wrote.
    ///
    /// # Errors
    /// When there is none, or more than one, with what there is.
    pub fn function(&self, name: &str) -> Result<FunctionRef, UnknownFunction> {
        self.exports.find(name)
    }

    /// Where an instance makes its file system; `None` when the component uses no files.
    pub(crate) fn scratch(&self) -> Option<&Path> {
        self.scratch.as_deref()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn pre(&self) -> &InstancePre<HostState> {
        &self.pre
    }

    /// Linear memory of a fresh instance.
    pub(crate) fn initial_memory_bytes(&self) -> u64 {
        self.initial_memory_bytes
    }

    /// What it may call through client stubs.
    pub(super) fn client_calls(&self) -> &[ClientCall] {
        &self.clients
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }
}

/// wasmtime counts the memory that a component begins with in pages.
const WASM_PAGE_BYTES: u64 = 64 << 10;

/// Exact for one memory, which is what toolchains make, and for memories of one size.
fn initial_memory(component: &Component) -> u64 {
    component.resources_required().map_or(0, |required| {
        let largest_pages = required.max_initial_memory_size.unwrap_or(0);
        let largest = largest_pages.saturating_mul(WASM_PAGE_BYTES);
        u64::from(required.num_memories).saturating_mul(largest)
    })
}

impl std::fmt::Debug for LoadedComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedComponent")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
