use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use kiln_proto::Error;
use kiln_store::Store;
use tokio::{
    sync::{Semaphore, watch},
    task::AbortHandle,
};
use tonic::service::Routes;

use crate::{
    Options,
    attend::{self, Identity},
    component::{CacheOptions, Components},
    context::Context,
    edge::{self, Api},
    enumerate::Enumerator,
    host::{self, Engine},
    initial_files::FileCache,
    managers::Managers,
    metrics::Metrics,
    own_listeners::OwnListeners,
    prefetch,
    registry::Registry,
    route::{Channels, ClusterView, Router},
    shard::{Shards, sweep},
    storage::{self, InStore, Storage},
    telemetry::Telemetry,
    way_out::WayOut,
    worker::Residency,
};

/// Chunks of blobs that the shards of a node replicate at the same time. Each is held by the log for a moment.
const CHUNKS_UNDER_WAY: usize = 16;

/// A node's executor: owns shards, runs their workers, serves the public API. Clones share it.
///
/// Without a store it is only an edge: it takes every call and passes it on.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    api: Arc<Api>,
    shards: Arc<Shards>,
    view: Arc<ClusterView>,
    draining: watch::Sender<bool>,
    #[allow(dead_code, reason = "held for the context, which must not keep it")]
    for_workers: Arc<dyn host::Storage>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Executor {
    /// Starts an executor: resumes the replicas on this node's disk and begins to attend to the managers. It returns
    /// before any manager has answered.
    ///
    /// # Errors
    /// When the wasm engine or the place of blobs cannot be set up, or stored data does not check out.
    pub async fn start(options: Options, store: Option<&Store>) -> Result<Self, Error> {
        let blobs = InStore::open(&options.blobs, options.limits.storage.call_timeout)?;
        let channels = Arc::<Channels>::default();
        let managers = Arc::new(Managers::new(channels.clone(), options.managers.clone()));
        let components = components(&options).await?;
        let files = FileCache::new(options.cache_dir.join("files"))?;
        let view = Arc::<ClusterView>::default();
        let registry = Arc::new(Registry::new(managers.clone(), view.clone(), components, files));
        let context = Arc::new(Context {
            registry: registry.clone(),
            view: view.clone(),
            metrics: Arc::<Metrics>::default(),
            residency: Residency::new(options.limits.loaded_workers_max, options.limits.memory_bytes_max),
            limits: options.limits.clone(),
            telemetry: Telemetry::start(options.otlp_endpoint.as_deref()),
            way_out: OnceLock::new(),
            chunk_slots: Semaphore::new(CHUNKS_UNDER_WAY),
            storage: OnceLock::new(),
        });
        let own_listeners = own_listeners(&options, view.clone());
        let shards = Arc::new(Shards::new(store.cloned(), context.clone()));
        resume(&shards, store).await?;
        let draining = watch::Sender::new(false);
        let mut tasks = vec![tokio::spawn(sweep::sweep(shards.clone())).abort_handle()];
        tasks.push(tokio::spawn(own_listeners.keep_closed()).abort_handle());
        tasks.push(match store {
            Some(store) => {
                let identity = Identity {
                    address: options.address,
                    listeners: options.listeners,
                    name: options.name,
                };
                let draining = draining.subscribe();
                tokio::spawn(attend::attend(
                    managers.clone(),
                    shards.clone(),
                    store.clone(),
                    identity,
                    draining,
                ))
                .abort_handle()
            }
            None => tokio::spawn(attend::watch_map(managers.clone(), view.clone())).abort_handle(),
        });
        if store.is_some() {
            tasks.push(tokio::spawn(prefetch::prefetch(registry.clone())).abort_handle());
        }
        let router = Arc::new(Router {
            view: view.clone(),
            channels,
            shards: shards.clone(),
            context: context.clone(),
        });
        let storage = Storage::new(router.clone(), blobs);
        // Set once, here; workers that are recovered before this wait for it.
        let for_workers: Arc<dyn host::Storage> = Arc::new(storage.clone());
        let _ = context.storage.set(Arc::downgrade(&for_workers));
        if store.is_some() {
            tasks.push(tokio::spawn(storage::collect(storage.clone())).abort_handle());
        }
        let enumerator = Arc::new(Enumerator {
            router: router.clone(),
            registry: registry.clone(),
        });
        let api = Arc::new(Api {
            router,
            registry,
            managers: managers.clone(),
            context: context.clone(),
            enumerator,
            storage,
        });
        // Set once, here; workers that are recovered before this wait for it.
        let _ = context.way_out.set(Arc::new(WayOut::new(&api)));
        Ok(Self {
            inner: Arc::new(Inner {
                api,
                shards,
                view,
                draining,
                for_workers,
                tasks,
            }),
        })
    }

    /// The gRPC services, with reflection and health; to be merged with those of the node's other roles.
    pub async fn grpc_routes(&self) -> Routes {
        edge::grpc::routes(&self.inner.api).await
    }

    /// The HTTP/JSON routes.
    pub fn http_router(&self) -> axum::Router {
        edge::http::router(self.inner.api.clone())
    }

    /// True once every shard of the cluster has an owner, as far as this node has been told.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.view.glance().is_ready()
    }

    /// Waits until [`Executor::is_ready`].
    pub async fn ready(&self) {
        let mut changes = self.inner.view.changes();
        while !self.is_ready() {
            // The sender lives as long as this handle.
            let _ = changes.changed().await;
        }
    }

    /// Tells the managers that the node stops soon, so that they move its shards away.
    pub fn drain(&self) {
        self.inner.draining.send_replace(true);
    }

    /// Stops all workers and replicas. What was acknowledged is on disk; the store is stopped by its owner.
    pub async fn shutdown(&self) {
        self.inner.tasks.iter().for_each(AbortHandle::abort);
        self.inner.shards.shutdown().await;
        self.inner.api.router.channels.clear();
    }
}

async fn components(options: &Options) -> Result<Components, Error> {
    let (host, dir) = (options.host.clone(), options.cache_dir.clone());
    let size_bytes_max = options.limits.component_bytes_max;
    let compile_time_max = options.limits.compile_time_max;
    let build = move || {
        let engine = Engine::new(&host)?;
        Components::new(
            &engine,
            CacheOptions {
                size_bytes_max,
                compile_time_max,
                ..CacheOptions::new(dir)
            },
        )
    };
    let built = tokio::task::spawn_blocking(build).await;
    let built = built.map_err(|_| Error::internal("the set-up of the wasm engine was aborted"))?;
    built.map_err(|error| Error::internal(error.to_string()).with_hint(describe(&options.cache_dir)))
}

fn own_listeners(options: &Options, view: Arc<ClusterView>) -> OwnListeners {
    let told = [&options.listeners, &options.managers, &options.edges];
    let closed = options.host.network.egress.own.clone();
    OwnListeners::new(closed, view, told.into_iter().flatten().cloned())
}

fn describe(cache_dir: &Path) -> String {
    format!("compiled components are kept in {}", cache_dir.display())
}

/// Replicas run before any manager answers: the data path needs none.
async fn resume(shards: &Shards, store: Option<&Store>) -> Result<(), Error> {
    let Some(store) = store else { return Ok(()) };
    for shard in store
        .groups_on_disk()?
        .into_iter()
        .filter_map(|group| group.shard())
    {
        shards.ensure(shard).await?;
    }
    Ok(())
}
