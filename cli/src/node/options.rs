//! The configuration in the words of the crates that a node is made of.

use kiln_executor::host::GuestLimits;

use crate::config::{Config, Executor};

pub(super) fn store(config: &Config) -> kiln_store::Options {
    kiln_store::Options {
        heartbeat_interval: config.raft.heartbeat.0,
        election_timeout_min: config.raft.election_min.0,
        election_timeout_max: config.raft.election_max.0,
        flush_interval: config.storage.flush_interval.0,
        block_cache_bytes: config.storage.block_cache.bytes(),
        write_buffer_bytes: config.storage.write_buffer.bytes(),
        ..kiln_store::Options::new(&config.node.data)
    }
}

/// Where the node can be reached, and everywhere it listens.
pub(super) struct Place {
    pub(super) address: String,
    pub(super) listeners: Vec<String>,
}

pub(super) fn manager(config: &Config, place: &Place) -> kiln_shard_manager::Options {
    kiln_shard_manager::Options {
        listeners: place.listeners.clone(),
        name: config.node.name.clone(),
        managers: config.cluster.managers.clone(),
        lease: config.manager.lease.0,
        replace_after: config.manager.replace_after.0,
        ..kiln_shard_manager::Options::new(&place.address)
    }
}

fn guest(executor: &Executor) -> GuestLimits {
    GuestLimits {
        invocation_cpu_max: executor.invocation_cpu_max.0,
        log_bytes_max: executor.invocation_log_max.0,
        log_message_bytes_max: executor.log_message_max.bytes(),
        host_call_bytes_max: executor.host_call_size_max.bytes(),
        random_bytes_max: executor.random_size_max.0,
        resources_max: executor.worker_resources_max,
        folder_bytes_max: executor.worker_files_size_max.0,
        folder_files_max: executor.worker_files_max,
    }
}

/// A node that is its own manager needs no list of managers.
pub(super) fn executor(config: &Config, place: &Place) -> kiln_executor::Options {
    let managers = match config.cluster.managers.as_slice() {
        [] => vec![place.address.clone()],
        managers => managers.to_owned(),
    };
    let mut options = kiln_executor::Options {
        address: place.address.clone(),
        listeners: place.listeners.clone(),
        edges: config.cluster.edges.clone(),
        name: config.node.name.clone(),
        managers,
        cache_dir: config.node.data.join("components"),
        ..kiln_executor::Options::default()
    };
    options.otlp_endpoint =
        Some(config.telemetry.otlp.endpoint.clone()).filter(|endpoint| !endpoint.is_empty());
    options.blobs = config.storage.blobs.0.clone();
    options.host.memory_bytes_max = config.executor.worker_memory_max.bytes();
    options.host.network = config.executor.network();
    options.limits.message_bytes_max = config.api.message_size_max.bytes();
    options.limits.component_bytes_max = config.executor.component_size_max.bytes();
    options.limits.loaded_workers_max = config.executor.loaded_workers_max;
    options.limits.idle_timeout = config.executor.idle_timeout.0;
    options.limits.suspend_after = config.executor.suspend_after.0;
    options.limits.memory_bytes_max = config.executor.memory_max.0;
    options.limits.compile_time_max = config.executor.compile_time_max.0;
    options.host.guest = guest(&config.executor);
    options.limits.storage = config.applications.limits();
    options
}
