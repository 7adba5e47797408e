//! HTTP/JSON: the same operations as gRPC, for people and scripts.

mod component;
mod control;
mod enumerate;
mod error;
mod events;
mod files;
mod query;
mod serve;
mod status;
mod upload;
mod worker;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, delete, get, post},
};

use super::Api;

/// All routes. An upload has limits of its own.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let message_bytes_max = api.context.limits.message_bytes_max;
    Router::new()
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(status::metrics))
        .route("/v1/cluster", get(status::cluster))
        .route("/v1/components", get(component::list).post(component::add))
        .route(
            "/v1/components/{name}",
            get(component::describe)
                .put(component::update)
                .delete(component::delete),
        )
        .route("/v1/components/{name}/workers", get(enumerate::list))
        .route("/v1/components/{name}/workers/count", get(enumerate::count))
        .route(
            "/v1/components/{name}/workers/{worker}",
            get(worker::describe).delete(worker::delete),
        )
        .route("/v1/components/{name}/workers/{worker}/oplog", get(worker::oplog))
        .route("/v1/components/{name}/workers/{worker}/files", get(files::get))
        .route(
            "/v1/components/{name}/workers/{worker}/interrupt",
            post(worker::interrupt),
        )
        .route(
            "/v1/components/{name}/workers/{worker}/resume",
            post(worker::resume),
        )
        .route(
            "/v1/components/{name}/workers/{worker}/events",
            get(events::follow),
        )
        .route(
            "/v1/components/{name}/workers/{worker}/update",
            post(control::update),
        )
        .route(
            "/v1/components/{name}/workers/{worker}/revert",
            post(control::revert),
        )
        .route("/v1/components/{name}/workers/{worker}/fork", post(control::fork))
        .route(
            "/v1/components/{name}/workers/{worker}/invocations/{key}",
            delete(control::cancel),
        )
        .route(
            "/v1/promises/{component}/{worker}/{index}",
            post(control::complete_promise),
        )
        .route(
            "/v1/components/{name}/workers/{worker}/invoke/{*function}",
            post(worker::invoke),
        )
        .route(
            "/v1/components/{name}/workers/{worker}/http/{*path}",
            any(serve::serve),
        )
        .layer(DefaultBodyLimit::max(message_bytes_max))
        .with_state(api)
}
