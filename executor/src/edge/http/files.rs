use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use kiln_proto::{convert::json, v1, v1::get_files_response::Found};
use serde::Deserialize;
use serde_json::json;

use super::{
    error::Failure,
    extract::{Path, Query},
    worker::control,
};
use crate::edge::Api;

#[derive(Deserialize)]
pub(super) struct Place {
    /// The root when left out.
    #[serde(default)]
    path: String,
}

/// A folder as JSON, a file as its bytes.
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
    Query(Place { path }): Query<Place>,
) -> Result<Response, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let request = v1::GetFilesRequest {
        worker: Some(worker.clone()),
        path,
    };
    let found = api.on_worker(Some(&worker), request, control(&api)).await?;
    Ok(match found.found {
        Some(Found::File(bytes)) => ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        Some(Found::Folder(folder)) => Json(json!({ "entries": json::folder(&folder) })).into_response(),
        None => Json(json!({ "entries": [] })).into_response(),
    })
}
