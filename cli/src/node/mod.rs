//! One node: its store, its manager and executor, and the sockets they serve on.

mod health;
mod listeners;
mod options;
mod serving;

use kiln_executor::Executor;
use kiln_proto::{Error, ErrorCode};
use kiln_shard_manager::Manager;
use kiln_store::Store;
use tonic::service::Routes;

pub(crate) use listeners::Listeners;
use serving::Serving;

use crate::{
    config::{Config, Role},
    process,
};

/// A running node.
pub(crate) struct Node {
    store: Option<Store>,
    manager: Option<Manager>,
    executor: Option<Executor>,
    serving: Serving,
}

impl Node {
    /// Opens the node's data and starts what its role asks for.
    pub(crate) async fn start(config: &Config, listeners: Listeners) -> anyhow::Result<Self> {
        let place = listeners.place(config)?;
        let is_held = |error: &Error| error.code == ErrorCode::Conflict;
        let open = || async { Store::open(options::store(config)).await.map_err(Error::from) };
        let store = process::patiently(is_held, open).await?;
        let manager = match config.node.role {
            Role::Manager | Role::All => {
                Some(Manager::start(&store, options::manager(config, &place)).await?)
            }
            Role::Executor => None,
        };
        let executor = match config.node.role {
            Role::Executor | Role::All => {
                Some(Executor::start(options::executor(config, &place), Some(&store)).await?)
            }
            Role::Manager => None,
        };
        let mut routes = match &executor {
            Some(executor) => executor.grpc_routes().await,
            None => health::grpc_routes().await,
        };
        routes = routes.add_service(store.raft_service());
        if let Some(manager) = &manager {
            routes = routes.add_service(manager.service());
        }
        let http = executor
            .as_ref()
            .map_or_else(health::http_router, Executor::http_router);
        let serving = serve(listeners, &routes, http);
        Ok(Self {
            store: Some(store),
            manager,
            executor,
            serving,
        })
    }

    /// Starts a node that stores nothing and passes every call on.
    pub(crate) async fn start_edge(config: &Config, listeners: Listeners) -> anyhow::Result<Self> {
        let place = listeners.place(config)?;
        let executor = Executor::start(options::executor(config, &place), None).await?;
        let serving = serve(listeners, &executor.grpc_routes().await, executor.http_router());
        Ok(Self {
            store: None,
            manager: None,
            executor: Some(executor),
            serving,
        })
    }

    /// Returns when the node has failed. (A node that cannot trust its storage ends the process.)
    pub(crate) async fn failure(&mut self) -> anyhow::Result<()> {
        self.serving.failure().await
    }

    /// Stops from the outside in: no more calls, then no more work, then the data is closed.
    pub(crate) async fn stop(self) {
        self.serving.stop().await;
        if let Some(executor) = self.executor {
            executor.shutdown().await;
        }
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
