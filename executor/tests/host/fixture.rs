//! Components, workers and their oplogs for the tests.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use kiln_executor::{
    component::{CacheOptions, Components, LoadedComponent},
    host::{
        CallError, Engine, GuestLimits, HostOptions, HttpOptions, Instance, Interrupter, Invocation,
        NetworkOptions, WorkerContext, egress::EgressPolicy, value::parse_wave,
    },
    journal::{Journal, MemoryOplog, Options},
};
use kiln_proto::{
    convert::to_wave,
    ids::{ComponentId, ComponentVersion, Epoch, IdempotencyKey, WorkerId},
    v1::{CreateEntry, oplog_entry::Entry},
};

pub(crate) use crate::shared_guests::shared;

/// Guests that are committed beside their sources.
pub(crate) fn built(name: &str) -> Vec<u8> {
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/guests/built")
            .join(format!("{name}.wasm")),
    )
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("cannot read the guest {}: {error}", path.display()))
}

pub(crate) const FOLDER_BYTES_MAX: u64 = 1 << 20;
pub(crate) const FOLDER_FILES_MAX: u64 = 20;

pub(crate) fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let options = || HostOptions {
        instances_max: 200,
        memory_bytes_max: 64 << 20,
        guest: GuestLimits {
            invocation_cpu_max: Duration::from_secs(5),
            log_bytes_max: 1 << 20,
            log_message_bytes_max: 64 << 10,
            host_call_bytes_max: 16 << 20,
            random_bytes_max: 1 << 20,
            resources_max: 10_000,
            folder_bytes_max: FOLDER_BYTES_MAX,
            folder_files_max: FOLDER_FILES_MAX,
        },
        network: network(),
        ..HostOptions::default()
    };
    ENGINE
        .get_or_init(|| Engine::new(&options()).expect("an engine"))
        .clone()
}

/// Test servers listen on this machine.
fn network() -> NetworkOptions {
    let egress = EgressPolicy {
        allow_addresses: ["127.0.0.0/8", "::1"]
            .map(|range| range.parse().expect("a range"))
            .into(),
        deny_hosts: ["denied.example"]
            .map(|host| host.parse().expect("a host"))
            .into(),
        ..EgressPolicy::default()
    };
    let http = HttpOptions {
        held_body_bytes_max: 1 << 20,
        ..HttpOptions::default()
    };
    NetworkOptions { egress, http }
}

/// All tests of a run share compiled code; runs do not, so that each sees the compiler of its own build.
pub(crate) fn components() -> Components {
    static COMPONENTS: OnceLock<(Components, tempfile::TempDir)> = OnceLock::new();
    let make = || {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let options = CacheOptions::new(dir.path().to_owned());
        (Components::new(&engine(), options).expect("a cache"), dir)
    };
    COMPONENTS.get_or_init(make).0.clone()
}

pub(crate) async fn load(bytes: Vec<u8>) -> Arc<LoadedComponent> {
    components()
        .add(bytes.into())
        .await
        .expect("a component that can be loaded")
}

/// One worker with an oplog that outlives its instances.
pub(crate) struct Worker {
    pub(crate) component: Arc<LoadedComponent>,
    pub(crate) context: WorkerContext,
    pub(crate) oplog: Arc<MemoryOplog>,
}

impl Worker {
    pub(crate) async fn of(bytes: Vec<u8>) -> Self {
        let id = WorkerId {
            component: ComponentId(uuid::Uuid::from_u128(7)),
            name: "w1".parse().expect("a valid name"),
        };
        let worker = Self {
            component: load(bytes).await,
            context: WorkerContext {
                // Nobody wakes a guest here.
                suspend_after: std::time::Duration::MAX,
                ..WorkerContext::new(id, ComponentVersion(0))
            },
            oplog: Arc::new(MemoryOplog::default()),
        };
        worker.create().await;
        worker
    }

    /// Begins its oplog.
    pub(crate) async fn create(&self) {
        let journal = self.journal();
        journal.append(Entry::Create(CreateEntry::default()));
        journal.commit().await.expect("a vector takes everything");
    }

    pub(crate) fn journal(&self) -> Journal {
        let mut options = Options::new(self.context.id.clone(), Epoch(1), self.oplog.last());
        options.skipped = self.void();
        Journal::open(self.oplog.clone(), options).expect("a readable oplog")
    }

    /// Loads the worker: an instance that has yet to replay what is recorded.
    pub(crate) async fn start(&self) -> Instance {
        self.start_with(self.journal()).await
    }

    /// As [`Worker::start`], with an oplog of the caller's.
    pub(crate) async fn start_with(&self, journal: Journal) -> Instance {
        journal.take().expect("a readable oplog").expect("a Create entry");
        let context = WorkerContext {
            interrupter: Interrupter::default(),
            ..self.context.clone()
        };
        let mut instance = Instance::start(&self.component, context, journal)
            .await
            .expect("an instance");
        // The same in every life.
        instance.enter(Invocation {
            key: IdempotencyKey::new("the-call").expect("a valid key"),
            ..Invocation::default()
        });
        instance
    }
}

/// Calls a function with WAVE arguments and commits; the result as WAVE.
pub(crate) async fn call(
    instance: &mut Instance,
    function: &str,
    arguments: &[&str],
) -> Result<String, CallError> {
    let function = instance.component().function(function).expect("a known function");
    let arguments = parse_wave(&function.signature, arguments)?;
    let result = instance.call(&function, &arguments).await?;
    instance.journal().commit().await?;
    Ok(result.as_ref().map(to_wave).unwrap_or_default())
}

pub(crate) async fn ok(instance: &mut Instance, function: &str, arguments: &[&str]) -> String {
    let result = call(instance, function, arguments).await;
    result.unwrap_or_else(|error| panic!("{function}({arguments:?}) failed: {error:?}"))
}
