//! wasmtime, set up for determinism and for many small instances.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use super::{GuestLimits, NetworkOptions, wasi::http::Client};
use wasmtime::{Config, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// How often running guests are stopped to look for interrupts and to let others run.
pub(super) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Address space reserved for each memory of the pool. Larger memories are still possible: they are limited by
/// [`HostOptions::memory_bytes_max`], which is what the slot holds.
const MEMORY_GUARD_BYTES: u64 = 64 << 10;

/// What the host may use.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Most instances at a time. The pool reserves address space for them, not memory.
    pub instances_max: u32,
    /// Most linear memory of one guest.
    pub memory_bytes_max: usize,
    /// Most guests that are inside a call at the same time.
    pub running_max: u32,
    /// Threads that compile components, besides the ones that serve calls.
    pub compile_threads: NonZeroUsize,
    /// What one guest may do.
    pub guest: GuestLimits,
    /// What guests may do on the network.
    pub network: NetworkOptions,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            instances_max: 8_000,
            memory_bytes_max: 512 << 20,
            running_max: 4_000,
            compile_threads: NonZeroUsize::MIN,
            guest: GuestLimits::default(),
            network: NetworkOptions::default(),
        }
    }
}

/// The wasm engine of a node. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    options: Arc<HostOptions>,
    client: Arc<Client>,
}

/// The engine cannot be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the wasm engine: {0}")]
pub struct EngineError(String);

impl EngineError {
    pub(crate) fn new(what: String) -> Self {
        Self(what)
    }
}

impl Engine {
    /// Sets the engine up and starts the thread that ticks its epochs; the thread ends with the last clone.
    /// Where the pool's address space cannot be reserved, instances are allocated one by one, which is slower.
    ///
    /// # Errors
    /// When the machine or its limits do not allow it.
    pub fn new(options: &HostOptions) -> Result<Self, EngineError> {
        let pooled = pool_sizes(options).find_map(|instances| {
            let attempt = wasmtime::Engine::new(&config(options, Some(instances)));
            attempt
                .inspect_err(|error| tracing::debug!(instances, %error, "cannot reserve the instance pool"))
                .ok()
        });
        let inner = match pooled {
            Some(engine) => engine,
            None => {
                tracing::warn!("no instance pool can be reserved; instances are allocated one by one");
                wasmtime::Engine::new(&config(options, None))
                    .map_err(|error| EngineError::new(format!("{error:#}")))?
            }
        };
        start_ticking(inner.weak()).map_err(|error| EngineError::new(error.to_string()))?;
        Ok(Self {
            inner,
            options: Arc::new(options.clone()),
            client: Arc::new(Client::new(options.network.clone())),
        })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// What guests send their requests with.
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(crate) fn options(&self) -> &HostOptions {
        &self.options
    }
}

/// The wanted size, then smaller ones: containers and `ulimit -v` may allow less address space.
fn pool_sizes(options: &HostOptions) -> impl Iterator<Item = u32> {
    let wanted = options.instances_max.max(1);
    [wanted, wanted / 4, wanted / 16]
        .into_iter()
        .filter(move |instances| *instances >= 64 || *instances == wanted)
}

fn config(options: &HostOptions, pool: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        // Replay must give the same bits on every machine. Threads are not even compiled in.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Interrupts and fairness between guests on one thread.
        .epoch_interruption(true)
        // WASI 0.2 needs no component-model async; without it a call costs a quarter (engine.md §3d).
        .concurrency_support(false)
        .wasm_component_model(true)
        .memory_init_cow(true)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .guard_before_linear_memory(false)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    if let Some(instances) = pool {
        config
            .memory_reservation(options.memory_bytes_max as u64)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(options, instances)));
    }
    config
}

fn pooling(options: &HostOptions, instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // A component is made of a few core instances and tables: the adapter that lifts WASI calls has its own.
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(3))
        .total_stacks(options.running_max.min(instances))
        .total_gc_heaps(0)
        .max_core_instances_per_component(64)
        .max_memories_per_component(8)
        .max_tables_per_component(32)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .table_elements(100_000)
        .max_memory_size(options.memory_bytes_max)
        .max_unused_warm_slots(100)
        // Small resets are cheaper by memset than by a system call.
        .linear_memory_keep_resident(16 << 10)
        .table_keep_resident(4 << 10);
    pool
}

fn start_ticking(engine: EngineWeak) -> std::io::Result<()> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH_TICK);
        }
    };
    std::thread::Builder::new()
        .name("wasm-epoch".into())
        .spawn(tick)
        .map(|_| ())
}
