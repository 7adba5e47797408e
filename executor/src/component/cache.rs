use std::{
    collections::HashMap,
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};

use super::{Digest, Error, LoadedComponent, compile, disk};
use crate::host::{Engine, EngineError, HostState, linker};

/// Where compiled components are kept, and how many.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// Folder of the compiled code; made when it does not exist.
    pub dir: PathBuf,
    /// Folder of the running guests' file systems. Emptied at the start: what a killed process left is of no use.
    pub scratch_dir: PathBuf,
    /// Most components that stay loaded. Running instances keep theirs in any case.
    pub loaded_max: NonZeroUsize,
    /// Largest component that is accepted.
    pub size_bytes_max: usize,
    /// Longest that a compilation may take.
    pub compile_time_max: Duration,
}

impl CacheOptions {
    /// The defaults: 32 loaded components of at most 50 MiB each, guests' files below `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        let loaded_max = NonZeroUsize::MIN.saturating_add(31);
        Self {
            scratch_dir: dir.join("scratch"),
            dir,
            loaded_max,
            size_bytes_max: 50 << 20,
            compile_time_max: Duration::from_secs(300),
        }
    }
}

/// The components of a node, by digest: loaded ones in memory, compiled ones on disk. Cheap to clone.
#[derive(Clone)]
pub struct Components {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    linker: Linker<HostState>,
    options: CacheOptions,
    /// Part of the names of files: code of other engines or settings is never looked at.
    engine_hash: u64,
    loaded: Mutex<LruCache<Digest, Arc<LoadedComponent>>>,
    /// One load of a digest at a time; others wait for it and find the result in `loaded`.
    loading: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    compiling: Arc<Semaphore>,
}

impl Components {
    /// Makes the folders and links the host's interfaces.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn new(engine: &Engine, options: CacheOptions) -> Result<Self, EngineError> {
        make_dirs(&options)?;
        let linker = linker(engine).map_err(|error| EngineError::new(format!("{error:#}")))?;
        let mut hasher = DefaultHasher::new();
        engine
            .wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        let shared = Shared {
            linker,
            engine_hash: hasher.finish(),
            loaded: Mutex::new(LruCache::new(options.loaded_max)),
            loading: Mutex::default(),
            compiling: Arc::new(Semaphore::new(engine.options().compile_threads.get())),
            engine: engine.clone(),
            options,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Checks uploaded bytes, compiles and links them, and keeps the result.
    ///
    /// # Errors
    /// When they are too large, no component, or need what the host does not offer.
    pub async fn add(&self, bytes: Bytes) -> Result<Arc<LoadedComponent>, Error> {
        self.check_size(bytes.len())?;
        compile::check_header(&bytes)?;
        let digest = Digest::of(&bytes);
        let loaded = self.load(digest, || async { Ok(bytes) }).await?;
        loaded.check_contract()?;
        Ok(loaded)
    }

    /// The component of that digest: from memory, from the disk, or else compiled from the bytes that `fetch` gets.
    ///
    /// # Errors
    /// When the bytes cannot be fetched, or as for [`Components::add`].
    pub async fn load<F, R>(&self, digest: Digest, fetch: F) -> Result<Arc<LoadedComponent>, Error>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<Bytes, kiln_proto::Error>>,
    {
        if let Some(loaded) = self.loaded(digest) {
            return Ok(loaded);
        }
        let turn = self.shared.loading.lock().entry(digest).or_default().clone();
        let result = {
            let _turn = turn.lock().await;
            match self.loaded(digest) {
                Some(loaded) => Ok(loaded),
                None => self.load_new(digest, fetch).await,
            }
        };
        drop(turn);
        let mut loading = self.shared.loading.lock();
        if loading
            .get(&digest)
            .is_some_and(|turn| Arc::strong_count(turn) == 1)
        {
            loading.remove(&digest);
        }
        result
    }

    /// The component of that digest, if it is in memory.
    #[must_use]
    pub fn loaded(&self, digest: Digest) -> Option<Arc<LoadedComponent>> {
        self.shared.loaded.lock().get(&digest).cloned()
    }

    async fn load_new<F, R>(&self, digest: Digest, fetch: F) -> Result<Arc<LoadedComponent>, Error>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<Bytes, kiln_proto::Error>>,
    {
        let component = match self.open_compiled(digest).await? {
            Some(component) => component,
            None => {
                let bytes = fetch().await.map_err(|source| Error::Fetch {
                    digest,
                    source: Box::new(source),
                })?;
                self.compile(digest, bytes).await?
            }
        };
        let loaded = LoadedComponent::link(digest, &component, &self.shared.engine, &self.shared.linker)?
            .with_scratch(&self.shared.options.scratch_dir);
        let loaded = Arc::new(loaded);
        self.shared.loaded.lock().put(digest, loaded.clone());
        Ok(loaded)
    }

    async fn open_compiled(&self, digest: Digest) -> Result<Option<Component>, Error> {
        let shared = self.shared.clone();
        let read = tokio::task::spawn_blocking(move || shared.file(digest).open(&shared.engine));
        read.await.map_err(|_| Error::Aborted { digest })
    }

    async fn compile(&self, digest: Digest, bytes: Bytes) -> Result<Component, Error> {
        self.check_size(bytes.len())?;
        let shared = self.shared.clone();
        let permit = self
            .shared
            .compiling
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| Error::Aborted { digest })?;
        let compile = tokio::task::spawn_blocking(move || {
            // A compilation cannot be stopped: one that is given up keeps its thread busy, and its place until it is done.
            let _permit = permit;
            let actual = Digest::of(&bytes);
            if actual != digest {
                return Err(Error::WrongDigest {
                    expected: digest,
                    actual,
                });
            }
            let started = std::time::Instant::now();
            let code = compile::compile(&shared.engine, &bytes)?;
            tracing::info!(%digest, size = bytes.len(), code_size = code.len(), elapsed = ?started.elapsed(), "compiled component");
            shared.file(digest).store(&shared.engine, &code)
        });
        let max = self.shared.options.compile_time_max;
        match tokio::time::timeout(max, compile).await {
            Ok(compiled) => compiled.map_err(|_| Error::Aborted { digest })?,
            Err(_) => Err(Error::TooSlow { max }),
        }
    }

    fn check_size(&self, size: usize) -> Result<(), Error> {
        let size_max = self.shared.options.size_bytes_max;
        if size > size_max {
            Err(Error::TooLarge { size, size_max })
        } else {
            Ok(())
        }
    }
}

impl Shared {
    fn file(&self, digest: Digest) -> disk::CompiledFile {
        disk::CompiledFile::new(&self.options.dir, digest, self.engine_hash)
    }
}

fn make_dirs(options: &CacheOptions) -> Result<(), EngineError> {
    let failed = |dir: &Path| {
        let dir = dir.display().to_string();
        move |error: std::io::Error| EngineError::new(format!("{dir}: {error}"))
    };
    let scratch = &options.scratch_dir;
    if scratch.exists() {
        std::fs::remove_dir_all(scratch).map_err(failed(scratch))?;
    }
    std::fs::create_dir_all(&options.dir).map_err(failed(&options.dir))?;
    std::fs::create_dir_all(scratch).map_err(failed(scratch))
}
