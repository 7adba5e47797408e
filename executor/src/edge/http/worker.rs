use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
};
use kiln_proto::{
    Error,
    convert::{json, to_wave},
    v1::{self, invoke_request::Arguments},
};
use serde_json::{Value, json};

use super::error::Failure;
use crate::{edge::Api, route::Patience};

const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The body is a JSON array of arguments; an empty one means none.
pub(super) async fn invoke(
    State(api): State<Arc<Api>>,
    Path((component, worker, function)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: String,
) -> Result<(HeaderMap, Json<Value>), Failure> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let traceparent = header("traceparent");
    let request = v1::InvokeRequest {
        worker: Some(v1::WorkerRef { component, worker }),
        function,
        idempotency_key: header("idempotency-key"),
        no_wait: false,
        trace_context: (!traceparent.is_empty()).then(|| v1::TraceContext {
            traceparent,
            tracestate: header("tracestate"),
        }),
        arguments: Some(Arguments::Json(if body.trim().is_empty() {
            "[]".to_owned()
        } else {
            body
        })),
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
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    let query = Parameters::parse(query.as_deref().unwrap_or_default())?;
    let worker = v1::WorkerRef { component, worker };
    let request = v1::GetOplogRequest {
        worker: Some(worker.clone()),
        from: query.number("from")?,
        limit: u32::try_from(query.number("limit")?).unwrap_or(u32::MAX),
    };
    let page = api.on_worker(Some(&worker), request, control(&api)).await?;
    let entries: Vec<Value> = page.entries.iter().map(json::oplog_entry).collect();
    Ok(Json(
        json!({ "entries": entries, "next": (page.next != 0).then_some(page.next) }),
    ))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(component): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    let query = Parameters::parse(query.as_deref().unwrap_or_default())?;
    let request = v1::ListWorkersRequest {
        component,
        filters: query.all("filter"),
        precise: query.flag("precise")?,
        limit: u32::try_from(query.number("limit")?).unwrap_or(u32::MAX),
        cursor: query.all("cursor").pop().unwrap_or_default(),
    };
    let page = api.enumerator.list(request, control(&api)).await?;
    Ok(Json(json::worker_list(&page)))
}

pub(super) async fn count(
    State(api): State<Arc<Api>>,
    Path(component): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    let query = Parameters::parse(query.as_deref().unwrap_or_default())?;
    let request = v1::CountWorkersRequest {
        component,
        filters: query.all("filter"),
        precise: query.flag("precise")?,
    };
    let counted = api.enumerator.count(request, control(&api)).await?;
    Ok(Json(json::count(&counted)))
}

fn control(api: &Api) -> Patience {
    Patience::of(Some(api.context.limits.control_timeout))
}

/// Query parameters, of which some may come several times.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(query: &str) -> Result<Self, Error> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((unescape(name)?, unescape(value)?))
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    fn number(&self, name: &str) -> Result<u64, Error> {
        match self.all(name).pop() {
            None => Ok(0),
            Some(text) => text
                .parse()
                .map_err(|_| Error::invalid(format!("{name}: \"{text}\" is no number"))),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.all(name).pop().as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(text) => Err(Error::invalid(format!(
                "{name}: \"{text}\" is neither true nor false"
            ))),
        }
    }
}

/// Undoes percent-encoding and `+`, as forms have it.
fn unescape(text: &str) -> Result<String, Error> {
    let malformed = || Error::invalid("the query is not properly percent-encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2).ok_or_else(malformed)?;
                let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
                rest = after;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_queries_as_forms_send_them() {
        let query =
            Parameters::parse("filter=name+%3D+a&filter=status%3Didle&precise=true&limit=5").expect("valid");
        assert_eq!(query.all("filter"), ["name = a", "status=idle"]);
        assert!(query.flag("precise").expect("a flag"));
        assert_eq!(query.number("limit").expect("a number"), 5);
        assert!(Parameters::parse("a=%f").is_err() && Parameters::parse("a=%ff").is_err());
    }
}
