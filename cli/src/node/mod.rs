//! One node: its store, its manager and executor, and the sockets they serve on.

mod health;
mod listeners;
mod serving;

use kiln_shard_manager::Manager;
use kiln_store::Store;
use tonic::service::Routes;

pub(crate) use listeners::Listeners;
use serving::Serving;

use crate::config::{Config, Role};

/// A running node.
pub(crate) struct Node {
    store: Option<Store>,
    manager: Option<Manager>,
    serving: Serving,
}

impl Node {
    /// Opens the node's data and starts what its role asks for.
    pub(crate) async fn start(config: &Config, listeners: Listeners) -> anyhow::Result<Self> {
        let address = listeners.advertised(config)?;
        let store = Store::open(store_options(config))
            .await
            .map_err(kiln_proto::Error::from)?;
        let mut routes = Routes::builder();
        routes.add_service(store.raft_service());
        let manager = match config.node.role {
            Role::Manager | Role::All => {
                Some(Manager::start(&store, manager_options(config, &address)).await?)
            }
            Role::Executor => None,
        };
        if let Some(manager) = &manager {
            routes.add_service(manager.service());
        }
        let serving = serve(listeners, &routes.routes(), health::router());
        Ok(Self {
            store: Some(store),
            manager,
            serving,
        })
    }

    /// Starts a node that stores nothing and forwards every call.
    pub(crate) async fn start_edge(_config: &Config, _listeners: Listeners) -> anyhow::Result<Self> {
        anyhow::bail!("not yet")
    }

    /// Returns when the node has failed. (A node that cannot trust its storage ends the process.)
    pub(crate) async fn failure(&mut self) -> anyhow::Result<()> {
        self.serving.failure().await
    }

    /// Stops from the outside in: no more calls, then no more work, then the data is closed.
    pub(crate) async fn stop(self) {
        self.serving.stop().await;
        if let Some(manager) = self.manager {
            manager.shutdown().await;
        }
        if let Some(store) = self.store {
            store.shutdown().await;
        }
    }
}

fn serve(listeners: Listeners, routes: &Routes, http: axum::Router) -> Serving {
    let mut serving = Serving::default();
    for listener in listeners.grpc {
        serving.grpc(listener, routes.clone());
    }
    if let Some(listener) = listeners.http {
        serving.http(listener, http);
    }
    serving
}

fn manager_options(config: &Config, address: &str) -> kiln_shard_manager::Options {
    kiln_shard_manager::Options {
        name: config.node.name.clone(),
        managers: config.cluster.managers.clone(),
        lease: config.manager.lease.0,
        replace_after: config.manager.replace_after.0,
        ..kiln_shard_manager::Options::new(address)
    }
}

fn store_options(config: &Config) -> kiln_store::Options {
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
