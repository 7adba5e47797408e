//! What a node without an executor answers over HTTP: that it serves.

use axum::{Router, routing::get};

/// `/healthz` and `/readyz`.
pub(super) fn router() -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
}
