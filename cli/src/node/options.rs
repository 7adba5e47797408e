//! The configuration in the words of the crates that a node is made of.

use crate::config::Config;

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

pub(super) fn manager(config: &Config, address: &str) -> kiln_shard_manager::Options {
    kiln_shard_manager::Options {
        name: config.node.name.clone(),
        managers: config.cluster.managers.clone(),
        lease: config.manager.lease.0,
        replace_after: config.manager.replace_after.0,
        ..kiln_shard_manager::Options::new(address)
    }
}

/// A node that is its own manager needs no list of managers.
pub(super) fn executor(config: &Config, address: &str) -> kiln_executor::Options {
    let managers = match config.cluster.managers.as_slice() {
        [] => vec![address.to_owned()],
        managers => managers.to_owned(),
    };
    let mut options = kiln_executor::Options {
        address: address.to_owned(),
        name: config.node.name.clone(),
        managers,
        cache_dir: config.node.data.join("components"),
        ..kiln_executor::Options::default()
    };
    options.host.memory_bytes_max = config.executor.worker_memory_max.bytes();
    options.host.network = config.executor.network();
    options.limits.message_bytes_max = config.api.message_size_max.bytes();
    options.limits.component_bytes_max = config.executor.component_size_max.bytes();
    options.limits.loaded_workers_max = config.executor.loaded_workers_max;
    options.limits.idle_timeout = config.executor.idle_timeout.0;
    options.limits.storage = config.applications.limits();
    options
}
