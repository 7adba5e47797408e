//! Server-sent events of a worker: `id` is the oplog index, `event` the kind of entry, `data` the entry as JSON.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt};
use kiln_proto::{
    Error,
    convert::json,
    v1::{self, IndexedOplogEntry},
};
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;

use super::{error::Failure, extract::Path, query::Parameters};
use crate::edge::Api;

/// Begins behind `Last-Event-ID`, else at `?from=`, else a little before now.
pub(super) async fn follow(
    State(api): State<Arc<Api>>,
    Path((component, worker)): Path<(String, String)>,
    query: Parameters,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let from = match headers.get("last-event-id") {
        Some(last) => Some(index_of(last.to_str().unwrap_or_default())? + 1),
        None => Some(query.number("from")?).filter(|from| *from > 0),
    };
    let worker = v1::WorkerRef { component, worker };
    let events = api.connect(Some(&worker), from).await?;
    let events = ReceiverStream::new(events).map(|event| {
        Ok(match event {
            Ok(entry) => event_of(&entry),
            Err(error) => end(&error),
        })
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn index_of(text: &str) -> Result<u64, Error> {
    let malformed = |_| Error::invalid(format!("Last-Event-ID: \"{text}\" is no oplog index"));
    text.trim().parse().map_err(malformed)
}

fn event_of(entry: &IndexedOplogEntry) -> Event {
    let data = json::oplog_entry(entry);
    Event::default()
        .id(entry.index.to_string())
        .event(data["type"].as_str().unwrap_or_default())
        .data(data.to_string())
}

/// The last event: why there are no more.
fn end(error: &Error) -> Event {
    let data = json!({"code": error.code.as_str_name(), "message": error.message});
    Event::default().event("end").data(data.to_string())
}
