//! What this node knows of components: names, versions, and their code.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use kiln_proto::{
    Error, ErrorCode,
    ids::{ComponentId, ComponentVersion},
    v1,
};
use tokio::time::Instant;

use crate::{
    component::{Components, Digest, LoadedComponent},
    host::{InitialFile, default_components, unversioned},
    initial_files::{self, FileCache},
    managers::Managers,
    processors::ProcessorContract,
    route::ClusterView,
};

/// How long a question to the managers may take while a call waits for the answer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// With an older answer at hand, managers that are silent are waited for only this long.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60);
const CHUNK_BYTES: usize = 1 << 20;
/// Variables that a component may declare as indexed: each is a row more for every worker.
const INDEXED_MAX: usize = 16;
const INDEXED_KEY_BYTES_MAX: usize = 255;

/// Components as the managers list them. What cannot change is remembered; the latest version is asked for each time.
pub(crate) struct Registry {
    managers: Arc<Managers>,
    view: Arc<ClusterView>,
    /// As many components had been removed when names were remembered.
    removed: AtomicU64,
    components: Components,
    files: FileCache,
    ids: DashMap<String, ComponentId>,
    versions: DashMap<(ComponentId, ComponentVersion), Arc<v1::ComponentVersion>>,
    latest: DashMap<ComponentId, Arc<tokio::sync::Mutex<Option<Latest>>>>,
}

/// The answer to "which version is the latest?" and when it was asked.
struct Latest {
    asked_at: Instant,
    version: Arc<v1::ComponentVersion>,
}

/// A component to be added, or the next version of one.
pub(crate) struct NewVersion {
    /// Name, whether it is an update, environment and so on.
    pub(crate) header: v1::UploadHeader,
    /// The wasm bytes.
    pub(crate) bytes: Bytes,
    /// The bytes of the files in the header, in their order.
    pub(crate) files: Vec<Bytes>,
}

impl Registry {
    /// An empty one.
    #[must_use]
    pub(crate) fn new(
        managers: Arc<Managers>,
        view: Arc<ClusterView>,
        components: Components,
        files: FileCache,
    ) -> Self {
        Self {
            managers,
            view,
            removed: AtomicU64::new(0),
            components,
            files,
            ids: DashMap::new(),
            versions: DashMap::new(),
            latest: DashMap::new(),
        }
    }

    /// The component that a caller named, by name or UUID.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown name.
    pub(crate) async fn resolve(&self, component: &str) -> Result<ComponentId, Error> {
        self.forget_removed();
        if let Some(id) = self.ids.get(component) {
            return Ok(*id);
        }
        if component.is_empty() {
            return Err(Error::invalid("no component is named").with_hint("write COMPONENT/WORKER"));
        }
        if let Ok(id) = component.parse() {
            return Ok(id);
        }
        let found = self.find(component, None, LOOKUP_TIMEOUT).await?;
        ComponentId::from_slice(&found.component_id)
    }

    /// A version of a component.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such version.
    pub(crate) async fn version(
        &self,
        id: ComponentId,
        version: ComponentVersion,
    ) -> Result<Arc<v1::ComponentVersion>, Error> {
        if let Some(known) = self.versions.get(&(id, version)) {
            return Ok(known.clone());
        }
        self.find(&id.to_string(), Some(version), LOOKUP_TIMEOUT).await
    }

    /// The latest version, as new as the call; with all managers silent, the latest one that is known.
    ///
    /// # Errors
    /// `NOT_FOUND` when the component does not exist.
    pub(crate) async fn latest(&self, id: ComponentId) -> Result<Arc<v1::ComponentVersion>, Error> {
        let wanted_at = Instant::now();
        let slot = self.latest.entry(id).or_default().clone();
        let mut slot = slot.lock().await;
        // Another caller asked after this one came: its answer is new enough, so a crowd asks only twice.
        if let Some(latest) = slot.as_ref().filter(|latest| latest.asked_at >= wanted_at) {
            return Ok(latest.version.clone());
        }
        let asked_at = Instant::now();
        let timeout = if slot.is_some() {
            REFRESH_TIMEOUT
        } else {
            LOOKUP_TIMEOUT
        };
        match (self.find(&id.to_string(), None, timeout).await, slot.as_ref()) {
            (Ok(version), _) => {
                *slot = Some(Latest {
                    asked_at,
                    version: version.clone(),
                });
                Ok(version)
            }
            (Err(error), Some(known)) if error.code == ErrorCode::Unavailable => {
                tracing::warn!(component = %id, %error, "taking the latest component version that is known");
                Ok(known.version.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The component's name, or its UUID as long as the managers are silent.
    pub(crate) async fn name_of(&self, id: ComponentId, version: ComponentVersion) -> String {
        match self.version(id, version).await {
            Ok(version) => version.name.clone(),
            Err(_) => id.to_string(),
        }
    }

    /// Loads a version's code: from memory, from disk, or from the managers.
    ///
    /// # Errors
    /// When it cannot be fetched or compiled.
    pub(crate) async fn load(&self, version: &v1::ComponentVersion) -> Result<Arc<LoadedComponent>, Error> {
        let digest = Digest::try_from(&*version.digest)?;
        let loaded = self.components.load(digest, || self.fetch(version)).await;
        loaded.map_err(Error::from)
    }

    /// Checks a component, stores its bytes with the managers and registers it.
    ///
    /// # Errors
    /// `INVALID` when it is no component or needs what the host does not offer; `ALREADY_EXISTS` and `NOT_FOUND` for
    /// a name that does not fit the operation.
    pub(crate) async fn add(&self, new: NewVersion) -> Result<v1::ComponentVersion, Error> {
        check_name(&new.header.name)?;
        check_indexed(&new.header)?;
        if !new.header.application.is_empty() {
            check_name(&new.header.application)?;
        }
        initial_files::check(&new.header.files)?;
        let loaded = self.components.add(new.bytes.clone()).await?;
        self.check_processors(&new.header).await?;
        self.check_clients(&loaded, &new.header.clients).await?;
        let digest = Bytes::copy_from_slice(&loaded.digest().0);
        let chunks = self.put_blob(&digest, &new.bytes).await?;
        let files = self.put_files(&new).await?;
        let token = new.header.request_token;
        let request = v1::RegisterComponentRequest {
            name: new.header.name,
            update: new.header.update,
            ephemeral: new.header.ephemeral,
            env: new.header.env,
            indexed_env: new.header.indexed_env,
            indexed_config: new.header.indexed_config,
            application: new.header.application,
            clients: new.header.clients,
            processors: new.header.processors,
            digest,
            size: new.bytes.len() as u64,
            chunks,
            files,
            request_token: if token.is_empty() {
                uuid::Uuid::new_v4().to_string()
            } else {
                token
            },
        };
        let register = |mut client: crate::managers::ManagerClient| {
            let request = request.clone();
            async move { client.register_component(request).await }
        };
        let reply = self.managers.call(TRANSFER_TIMEOUT, register).await?;
        let registered = reply
            .component
            .ok_or_else(|| Error::internal("the manager's answer names no component"))?;
        self.remember(registered.clone())?;
        Ok(registered)
    }

    /// Looks at the components behind the client stubs. One that is only to be added later is looked at when it is called; two
    /// components may call each other.
    async fn check_clients(&self, loaded: &LoadedComponent, clients: &[v1::KeyValue]) -> Result<(), Error> {
        for import in loaded.client_imports() {
            let configured = clients.iter().rev().find(|pair| pair.key == unversioned(import));
            let id = match configured {
                Some(pair) => Some(self.resolve(&pair.value).await?),
                None => self.first_of(default_components(import)).await?,
            };
            let Some(id) = id else { continue };
            let version = self.latest(id).await?;
            let unserved = loaded.unserved(import, &*self.load(&version).await?, &version.name);
            if !unserved.is_empty() {
                return Err(Error::invalid(format!(
                    "a client stub does not fit its component: {}",
                    unserved.join(", ")
                ))
                .with_hint(
                    "make the stub from the component's present version, or name another with --client",
                ));
            }
        }
        Ok(())
    }

    async fn first_of<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<Option<ComponentId>, Error> {
        for name in names {
            match self.resolve(name).await {
                Ok(id) => return Ok(Some(id)),
                Err(error) if error.code == ErrorCode::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn check_processors(&self, header: &v1::UploadHeader) -> Result<(), Error> {
        for name in &header.processors {
            if *name == header.name {
                return Err(Error::invalid(
                    "a component cannot process its own oplogs without end",
                ));
            }
            let id = self.resolve(name).await?;
            let processor = self.load(&*self.latest(id).await?).await?;
            if let Err(error) = ProcessorContract::of(&processor) {
                return Err(
                    Error::invalid(format!("component \"{name}\" cannot process oplogs: {error}"))
                        .with_hint("it has to export golem:api/oplog-processor in one of the versions 1.1.0, 1.1.6 and 1.1.7"),
                );
            }
        }
        Ok(())
    }

    /// Removes a component, of which the caller knows that it has no workers.
    ///
    /// # Errors
    /// `NOT_FOUND`, or when no manager answers.
    pub(crate) async fn remove(&self, id: ComponentId) -> Result<(), Error> {
        let request = v1::RemoveComponentRequest {
            component_id: Bytes::copy_from_slice(id.as_bytes()),
        };
        let remove = |mut client: crate::managers::ManagerClient| {
            let request = request.clone();
            async move { client.remove_component(request).await }
        };
        self.managers.call(LOOKUP_TIMEOUT, remove).await?;
        self.forget_all();
        Ok(())
    }

    /// A name may stand for another component since one was removed.
    fn forget_removed(&self) {
        let removed = self.view.glance().wire.components_removed;
        if self.removed.swap(removed, Ordering::Relaxed) != removed {
            self.forget_all();
        }
    }

    fn forget_all(&self) {
        self.ids.clear();
        self.versions.clear();
        self.latest.clear();
    }

    /// The latest version of every component.
    ///
    /// # Errors
    /// `UNAVAILABLE` when no manager answers.
    pub(crate) async fn list(&self) -> Result<Vec<v1::ComponentVersion>, Error> {
        let list = |mut client: crate::managers::ManagerClient| async move {
            client.list_registry(v1::ListRegistryRequest {}).await
        };
        Ok(self.managers.call(LOOKUP_TIMEOUT, list).await?.components)
    }

    async fn find(
        &self,
        component: &str,
        version: Option<ComponentVersion>,
        timeout: Duration,
    ) -> Result<Arc<v1::ComponentVersion>, Error> {
        let request = v1::FindComponentRequest {
            component: component.to_owned(),
            version: version.map(|version| version.0),
        };
        let find = |mut client: crate::managers::ManagerClient| {
            let request = request.clone();
            async move { client.find_component(request).await }
        };
        let found = self.managers.call(timeout, find).await?;
        let version = found
            .component
            .ok_or_else(|| Error::not_found(format!("no component \"{component}\"")))?;
        self.remember(version)
    }

    fn remember(&self, version: v1::ComponentVersion) -> Result<Arc<v1::ComponentVersion>, Error> {
        let id = ComponentId::from_slice(&version.component_id)?;
        let version = Arc::new(version);
        self.ids.insert(version.name.clone(), id);
        self.versions
            .insert((id, ComponentVersion(version.version)), version.clone());
        Ok(version)
    }

    async fn fetch(&self, version: &v1::ComponentVersion) -> Result<Bytes, Error> {
        self.fetch_blob(&version.digest).await
    }

    async fn fetch_blob(&self, digest: &Bytes) -> Result<Bytes, Error> {
        let request = v1::GetBlobRequest {
            digest: digest.clone(),
        };
        let get = |mut client: crate::managers::ManagerClient| {
            let request = request.clone();
            async move {
                let mut chunks = client.get_blob(request).await?.into_inner();
                let mut bytes = BytesMut::new();
                while let Some(chunk) = chunks.message().await? {
                    bytes.extend_from_slice(&chunk.bytes);
                }
                Ok(tonic::Response::new(bytes.freeze()))
            }
        };
        self.managers.call(TRANSFER_TIMEOUT, get).await
    }

    async fn put_files(&self, new: &NewVersion) -> Result<Vec<v1::InitialFile>, Error> {
        let mut files = Vec::with_capacity(new.files.len());
        for (file, bytes) in new.header.files.iter().zip(&new.files) {
            let digest = Bytes::copy_from_slice(&Digest::of(bytes).0);
            let chunks = self.put_blob(&digest, bytes).await?;
            files.push(v1::InitialFile {
                path: file.path.clone(),
                writable: file.writable,
                size: bytes.len() as u64,
                digest,
                chunks,
            });
        }
        Ok(files)
    }

    /// The files that a worker of this version begins with. Those that are not on this node's disk yet are fetched.
    ///
    /// # Errors
    /// When one cannot be fetched or kept.
    pub(crate) async fn files(&self, version: &v1::ComponentVersion) -> Result<Vec<InitialFile>, Error> {
        let mut files = Vec::with_capacity(version.files.len());
        for file in &version.files {
            let digest = Digest::try_from(&*file.digest)?;
            let source = self.files.get(digest, || self.fetch_blob(&file.digest)).await?;
            files.push(InitialFile {
                path: file.path.clone(),
                writable: file.writable,
                size: file.size,
                source,
            });
        }
        Ok(files)
    }

    async fn put_blob(&self, digest: &Bytes, bytes: &Bytes) -> Result<u32, Error> {
        let mut index = 0;
        for start in (0..bytes.len()).step_by(CHUNK_BYTES) {
            let chunk = bytes.slice(start..bytes.len().min(start + CHUNK_BYTES));
            let request = v1::PutBlobChunkRequest {
                digest: digest.clone(),
                index,
                checksum: crc32c::crc32c(&chunk),
                bytes: chunk,
            };
            let put = |mut client: crate::managers::ManagerClient| {
                let request = request.clone();
                async move { client.put_blob_chunk(request).await }
            };
            self.managers.call(TRANSFER_TIMEOUT, put).await?;
            index += 1;
        }
        Ok(index)
    }
}

/// Names stand in paths and on command lines: `COMPONENT/WORKER`.
fn check_name(name: &str) -> Result<(), Error> {
    let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if name.is_empty() || name.len() > 255 || !name.chars().all(is_allowed) {
        return Err(
            Error::invalid(format!("\"{}\" is no component name", name.escape_debug()))
                .with_hint("use 1 to 255 letters, digits and -_.:"),
        );
    }
    Ok(())
}

fn check_indexed(header: &v1::UploadHeader) -> Result<(), Error> {
    let keys = || header.indexed_env.iter().chain(&header.indexed_config);
    if keys().count() > INDEXED_MAX {
        return Err(Error::invalid(format!(
            "a component has at most {INDEXED_MAX} indexed variables"
        )));
    }
    if keys().any(|key| key.is_empty() || key.len() > INDEXED_KEY_BYTES_MAX) {
        return Err(Error::invalid(format!(
            "the name of an indexed variable has 1 to {INDEXED_KEY_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}
