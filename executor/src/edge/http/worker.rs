use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
};
use kiln_proto::{
    Error,
    convert::{json, to_wave},
    v1::{self, invoke_request::Arguments},
};
use serde_json::{Value, json};

use super::{
    error::Failure,
    extract::{Path, Text},
    query::Parameters,
};
use crate::{edge::Api, route::Patience};

pub(super) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The body is a JSON array of arguments; an empty one means none.
pub(super) async fn invoke(
    State(api): State<Arc<Api>>,
    Path((component, worker, function)): Path<(String, String, String)>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<(HeaderMap, Json<Value>), Failure> {
    let request = v1::InvokeRequest {
        worker: Some(v1::WorkerRef { component, worker }),
        function,
        idempotency_key: header(&headers, "idempotency-key"),
        trace_context: trace_of(&headers),
        arguments: Some(Arguments::Json(if body.trim().is_empty() {
            "[]".to_owned()
        } else {
            body
        })),
        ..v1::InvokeRequest::default()
    };
    let reply = api.invoke(request, Patience::of(None)).await?;
    let mut answered = HeaderMap::new();
    if reply.replayed {
        answered.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    let result = json!({
        "result": reply.result.as_ref().map(json::value),
        "wave": reply.result.as_ref().map(to_wave),
        "idempotencyKey": reply.idempotency_key,
    });
    Ok((answered, Json(result)))
}

/// A header's text; empty when there is none.
pub(super) fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// The trace that a request belongs to.
pub(super) fn trace_of(headers: &HeaderMap) -> Option<v1::TraceContext> {
    let traceparent = header(headers, "traceparent");
    (!traceparent.is_empty()).then(|| v1::TraceContext {
        traceparent,
        tracestate: header(headers, "tracestate"),
    })
}

pub(super) async fn describe(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let request = v1::GetWorkerRequest {
        worker: Some(worker.clone()),
    };
    let found = api.on_worker(Some(&worker), request, control(&api)).await?.worker;
    let found = found.ok_or_else(|| Error::internal("the answer names no worker"))?;
    Ok(Json(json::worker(&found)))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let request = v1::DeleteWorkerRequest {
        worker: Some(worker.clone()),
    };
    api.on_worker(Some(&worker), request, control(&api)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn interrupt(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let request = v1::InterruptWorkerRequest {
        worker: Some(worker.clone()),
        recover_immediately: false,
    };
    api.on_worker(Some(&worker), request, control(&api)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let request = v1::ResumeWorkerRequest {
        worker: Some(worker.clone()),
        force: false,
    };
    api.on_worker(Some(&worker), request, control(&api)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn oplog(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
    query: Parameters,
) -> Result<Json<Value>, Failure> {
    let worker = v1::WorkerRef { component, worker };
    let request = v1::GetOplogRequest {
        worker: Some(worker.clone()),
        from: query.number("from")?,
        limit: u32::try_from(query.number("limit")?).unwrap_or(u32::MAX),
        query: query.all("query").join(" "),
        wait_ms: 0,
    };
    let page = api.on_worker(Some(&worker), request, control(&api)).await?;
    let entries: Vec<Value> = page.entries.iter().map(json::oplog_entry).collect();
    Ok(Json(
        json!({ "entries": entries, "next": (page.next != 0).then_some(page.next) }),
    ))
}

pub(super) fn control(api: &Api) -> Patience {
    Patience::of(Some(api.context.limits.control_timeout))
}
