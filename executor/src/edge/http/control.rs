//! What rewrites a worker, or what it waits for.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use kiln_proto::{
    Error,
    v1::{self, UpdateMode, revert_worker_request::Target},
};
use serde_json::{Value, json};

use super::{
    error::Failure,
    extract::{JsonBody, Path, Whole},
    worker::control,
};
use crate::{edge::Api, requests::named};

/// `{"version": N, "mode": "automatic" | "snapshot"}`
pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let mode = match body.get("mode").map(Value::as_str) {
        None | Some(Some("automatic")) => UpdateMode::Automatic,
        Some(Some("snapshot")) => UpdateMode::SnapshotBased,
        Some(_) => return Err(Error::invalid("\"mode\" is \"automatic\" or \"snapshot\"").into()),
    };
    let mut request = v1::UpdateWorkerRequest {
        worker: Some(worker.clone()),
        version: required(&body, "version")?,
        mode: mode.into(),
        ..v1::UpdateWorkerRequest::default()
    };
    named(&mut request.token);
    api.on_worker(Some(&worker), request, control(&api)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `{"toIndex": N}` or `{"lastInvocations": N}`
pub(super) async fn revert(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let target = match (number(&body, "toIndex")?, number(&body, "lastInvocations")?) {
        (Some(index), None) => Target::ToIndex(index),
        (None, Some(count)) => Target::LastInvocations(count),
        _ => return Err(Error::invalid("give either \"toIndex\" or \"lastInvocations\"").into()),
    };
    let mut request = v1::RevertWorkerRequest {
        worker: Some(worker.clone()),
        target: Some(target),
        ..v1::RevertWorkerRequest::default()
    };
    named(&mut request.token);
    api.on_worker(Some(&worker), request, control(&api)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `{"name": NEW-NAME, "at": INDEX}`
pub(super) async fn fork(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Failure> {
    let target = body.get("name").and_then(Value::as_str);
    let target = target.ok_or_else(|| Error::invalid("\"name\" of the new worker is missing"))?;
    let request = v1::ForkWorkerRequest {
        source: Some(v1::WorkerRef { component, worker }),
        target: target.to_owned(),
        cutoff: required(&body, "at")?,
        ..v1::ForkWorkerRequest::default()
    };
    api.fork_worker(request, control(&api)).await?;
    Ok(StatusCode::CREATED)
}

/// Cancels an invocation that waits for its turn.
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Path((component, worker, key)): Path<(String, String, String)>,
) -> Result<Json<Value>, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let request = v1::CancelInvocationRequest {
        worker: Some(worker.clone()),
        idempotency_key: key,
    };
    let answer = api.on_worker(Some(&worker), request, control(&api)).await?;
    Ok(Json(json!({"cancelled": answer.cancelled})))
}

/// The body is the value.
pub(super) async fn complete_promise(
    State(api): State<Arc<Api>>,
    Path((component, worker, oplog_index)): Path<(String, String, u64)>,
    Whole(data): Whole,
) -> Result<Json<Value>, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let mut request = v1::CompletePromiseRequest {
        worker: Some(worker.clone()),
        oplog_index,
        data,
        ..v1::CompletePromiseRequest::default()
    };
    named(&mut request.token);
    let answer = api.on_worker(Some(&worker), request, control(&api)).await?;
    Ok(Json(json!({"completed": answer.completed})))
}

fn number(body: &Value, field: &str) -> Result<Option<u64>, Error> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number
            .as_u64()
            .map(Some)
            .ok_or_else(|| Error::invalid(format!("\"{field}\" is no index or count"))),
    }
}

fn required(body: &Value, field: &str) -> Result<u64, Error> {
    number(body, field)?.ok_or_else(|| Error::invalid(format!("\"{field}\" is missing")))
}
