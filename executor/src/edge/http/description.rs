//! What the HTTP interface says of itself.

use axum::{
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    response::IntoResponse,
};
use kiln_proto::Error;

use super::error::Failure;

const OPENAPI: &str = include_str!("openapi.json");
const HINT: &str = "GET /openapi.json describes all of them";

/// The interface as an OpenAPI document.
pub(super) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

/// The answer for paths that nothing stands behind.
pub(super) async fn no_such_path(uri: Uri) -> Failure {
    Error::not_found(format!("there is nothing at {}", uri.path()))
        .with_hint(HINT)
        .into()
}

/// The answer for methods that a path does not have.
pub(super) async fn no_such_method(uri: Uri) -> Failure {
    let error = Error::invalid(format!("{} does not take this method", uri.path())).with_hint(HINT);
    Failure::with_status(StatusCode::METHOD_NOT_ALLOWED, error)
}
