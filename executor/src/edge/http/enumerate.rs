//! Lists, counts and watches of workers.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::Stream;
use kiln_proto::{Error, convert::json, v1};
use serde_json::Value;

use super::{error::Failure, extract::Path, query::Parameters, worker::control};
use crate::{edge::Api, enumerate::Watch};

/// A watch without events says this often that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A page; with `watch`, changes from now or from a cursor on as server-sent events.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(component): Path<String>,
    query: Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let cursor = query.all("cursor").pop().unwrap_or_default();
    if query.flag("watch")? {
        let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let request = v1::WatchWorkersRequest {
            component,
            filters: query.all("filter"),
            cursor: resumed.map_or(cursor, str::to_owned),
        };
        return Ok(events(api.enumerator.watch(request).await?).into_response());
    }
    let request = v1::ListWorkersRequest {
        component,
        filters: query.all("filter"),
        precise: query.flag("precise")?,
        limit: u32::try_from(query.number("limit")?).unwrap_or(u32::MAX),
        cursor,
        explain: query.flag("explain")?,
        allow_partial: query.flag("partial")?,
    };
    let page = api.enumerator.list(request, control(&api)).await?;
    Ok((status_of(&page.missing_shards), Json(json::worker_list(&page))).into_response())
}

pub(super) async fn count(
    State(api): State<Arc<Api>>,
    Path(component): Path<String>,
    query: Parameters,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let request = v1::CountWorkersRequest {
        component,
        filters: query.all("filter"),
        precise: query.flag("precise")?,
        explain: query.flag("explain")?,
        allow_partial: query.flag("partial")?,
    };
    let counted = api.enumerator.count(request, control(&api)).await?;
    Ok((status_of(&counted.missing_shards), Json(json::count(&counted))))
}

/// A partial answer was asked for, and is told from a whole one.
fn status_of(missing_shards: &[u32]) -> StatusCode {
    if missing_shards.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::PARTIAL_CONTENT
    }
}

fn events(watch: Watch) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let messages = futures::stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(message) => Some((told(&message), Some(watch))),
            Err(error) => Some((vec![failed(&error)], None)),
        }
    });
    let events = futures::StreamExt::flat_map(messages, |events| {
        futures::stream::iter(events.into_iter().map(Ok))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// The last event of a message carries the cursor as its id: a caller that comes again goes on behind it.
fn told(message: &v1::WatchWorkersResponse) -> Vec<Event> {
    let mut events: Vec<Event> = message
        .events
        .iter()
        .map(|event| {
            let kind = json::change_kind(event.kind());
            Event::default()
                .event(kind)
                .data(json::worker_event(event).to_string())
        })
        .collect();
    if message.reset {
        events.push(Event::default().event("reset").data("{}"));
    }
    match events.pop() {
        Some(last) => events.push(last.id(&message.cursor)),
        None => events.push(Event::default().event("started").data("{}").id(&message.cursor)),
    }
    events
}

fn failed(error: &Error) -> Event {
    let error = serde_json::json!({"error": {"code": error.code.as_str_name(), "message": error.message}});
    Event::default().event("error").data(error.to_string())
}
