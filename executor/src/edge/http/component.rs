use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use kiln_proto::{convert::json, v1};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error::Failure,
    extract::{Path, Query},
    upload::Upload,
};
use crate::edge::Api;

#[derive(Deserialize)]
pub(super) struct NewComponent {
    name: String,
}

/// A new component; its name is a query parameter.
pub(super) async fn add(
    State(api): State<Arc<Api>>,
    Query(new): Query<NewComponent>,
    upload: Upload,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let added = api.add_component(upload.named(new.name, false)?).await?;
    Ok((StatusCode::CREATED, Json(json::component(&added))))
}

/// The next version of a component.
pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    upload: Upload,
) -> Result<Json<Value>, Failure> {
    let added = api.add_component(upload.named(name, true)?).await?;
    Ok(Json(json::component(&added)))
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<Value>, Failure> {
    let components = api.registry.list().await?;
    let components: Vec<Value> = components.iter().map(json::component).collect();
    Ok(Json(json!({ "components": components })))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(component): Path<String>,
) -> Result<StatusCode, Failure> {
    api.delete_component(&component, super::worker::control(&api))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn describe(
    State(api): State<Arc<Api>>,
    Path(component): Path<String>,
) -> Result<Json<Value>, Failure> {
    let found = api
        .component(v1::GetComponentRequest {
            component,
            version: None,
        })
        .await?;
    Ok(Json(json::component_details(&found)))
}
