//! HTTP/JSON: the same operations as gRPC, for people and scripts.

mod component;
mod control;
mod description;
mod enumerate;
mod error;
mod events;
mod extract;
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
        .route("/openapi.json", get(description::openapi))
        .route("/v1/cluster", get(status::cluster))
        .route("/v1/components", get(component::list).post(component::add))
        .route(
            "/v1/components/{component}",
            get(component::describe)
                .put(component::update)
                .delete(component::delete),
        )
        .route("/v1/components/{component}/workers", get(enumerate::list))
        .route("/v1/components/{component}/workers/count", get(enumerate::count))
        .route(
            "/v1/components/{component}/workers/{worker}",
            get(worker::describe).delete(worker::delete),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/oplog",
            get(worker::oplog),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/files",
            get(files::get),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/interrupt",
            post(worker::interrupt),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/resume",
            post(worker::resume),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/events",
            get(events::follow),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/update",
            post(control::update),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/revert",
            post(control::revert),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/fork",
            post(control::fork),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/invocations/{key}",
            delete(control::cancel),
        )
        .route(
            "/v1/promises/{component}/{worker}/{index}",
            post(control::complete_promise),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/invoke/{*function}",
            post(worker::invoke),
        )
        .route(
            "/v1/components/{component}/workers/{worker}/http/{*path}",
            any(serve::serve),
        )
        .layer(DefaultBodyLimit::max(message_bytes_max))
        .fallback(description::no_such_path)
        .method_not_allowed_fallback(description::no_such_method)
        .with_state(api)
}
