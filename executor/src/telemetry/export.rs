use std::time::Duration;

use kiln_proto::v1::oplog_entry::Entry;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    trace::v1::Span,
};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

use super::{Ended, trace};
use crate::journal;

/// Invocations in one request.
const BATCH_MAX: usize = 128;
/// Entries of one invocation that are looked at; the spans of a longer one are cut short.
const ENTRIES_MAX: usize = 20_000;
/// Entries that are read at once.
const CHUNK: usize = 256;
const ATTEMPTS_MAX: u32 = 5;
const RETRY_AFTER: Duration = Duration::from_millis(200);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the spans of ended invocations until nobody can tell of one any more.
pub(super) async fn export(endpoint: String, mut ended: mpsc::Receiver<Ended>) {
    let channel = match Endpoint::from_shared(endpoint.clone()) {
        Ok(endpoint) => endpoint.timeout(REQUEST_TIMEOUT).connect_lazy(),
        Err(error) => {
            tracing::error!(endpoint, %error, "telemetry.otlp.endpoint is no address; no spans are exported");
            return;
        }
    };
    let client = TraceServiceClient::new(channel);
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while ended.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut spans = Vec::new();
        for ended in batch.drain(..) {
            match spans_of(&ended) {
                Ok(found) => spans.extend(found),
                Err(error) => tracing::warn!(%error, "an invocation's spans cannot be read"),
            }
            tokio::task::yield_now().await;
        }
        send(&client, trace::request(spans)).await;
    }
}

fn spans_of(ended: &Ended) -> Result<Vec<Span>, journal::Error> {
    let mut entries = Vec::new();
    let mut next = ended.first;
    while entries.len() < ENTRIES_MAX {
        let chunk = ended.journal.read(next, CHUNK)?;
        let Some((last, _)) = chunk.last() else {
            break;
        };
        next = last.next();
        let is_end = |entry: &Option<Entry>| matches!(entry, Some(Entry::ExportedFunctionCompleted(_)));
        let end = chunk.iter().position(|(_, entry)| is_end(&entry.entry));
        entries.extend(chunk.into_iter().take(end.map_or(usize::MAX, |end| end + 1)));
        if end.is_some() {
            break;
        }
    }
    Ok(trace::spans(ended.journal.worker(), &entries))
}

/// A request that may have arrived is sent again: the receiver knows the spans by their ids.
async fn send(client: &TraceServiceClient<Channel>, request: ExportTraceServiceRequest) {
    for attempt in 1..=ATTEMPTS_MAX {
        let outcome = client.clone().export(request.clone()).await;
        let Err(status) = outcome else {
            return;
        };
        tracing::debug!(%status, attempt, "spans could not be exported");
        tokio::time::sleep(RETRY_AFTER * attempt).await;
    }
    tracing::warn!("spans are dropped: the collector does not take them");
}
