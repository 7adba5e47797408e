//! What a node without an executor answers about itself: that it serves.

use axum::{Router, routing::get};
use tonic::service::Routes;

/// `/healthz` and `/readyz`.
pub(super) fn http_router() -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
}

/// `grpc.health.v1`.
pub(super) async fn grpc_routes() -> Routes {
    // The server as a whole, named by the empty string, serves from the start.
    let (_reporter, health) = tonic_health::server::health_reporter();
    Routes::new(health)
}
