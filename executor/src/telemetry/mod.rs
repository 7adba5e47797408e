//! Finished invocations as OpenTelemetry spans, over OTLP.
//!
//! * [`Telemetry`] – what workers tell: an invocation has ended, for good
//! * `trace` – from the entries of an invocation to its spans: its own, those that the guest started, its calls to the world
//! * `http` – outgoing requests, each one span
//! * `rpc` – those of calls from worker to worker
//! * `export` – the task that reads committed entries and sends spans in batches
//!
//! Everything is taken from the committed oplog, and only once the end of the invocation is in it: whoever commits the end
//! exports, however many owners the invocation had before. Ids follow from the oplog, too.

mod export;
mod http;
mod rpc;
#[cfg(test)]
mod tests;
mod trace;

use kiln_proto::ids::OplogIndex;
use tokio::sync::mpsc;

use crate::journal::Journal;

/// Ended invocations that wait to be exported; beyond it they are dropped, since calls must not wait for a collector.
const WAITING_MAX: usize = 4096;

/// Where ended invocations are told.
#[derive(Default)]
pub(crate) struct Telemetry {
    sender: Option<mpsc::Sender<Ended>>,
}

/// An invocation whose end is committed.
struct Ended {
    journal: Journal,
    /// Its ExportedFunctionInvoked entry.
    first: OplogIndex,
}

impl Telemetry {
    /// Starts to export to an OTLP/gRPC endpoint such as `http://127.0.0.1:4317`; to nowhere without one.
    pub(crate) fn start(endpoint: Option<&str>) -> Self {
        let Some(endpoint) = endpoint else {
            return Self::default();
        };
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        // Ends with the last sender.
        tokio::spawn(export::export(endpoint.to_owned(), receiver));
        Self { sender: Some(sender) }
    }

    /// Tells that the invocation which began at `first` has ended, and that this is committed.
    pub(crate) fn ended(&self, journal: &Journal, first: OplogIndex) {
        if let Some(sender) = &self.sender {
            let ended = Ended {
                journal: journal.clone(),
                first,
            };
            if sender.try_send(ended).is_err() {
                tracing::debug!(worker = %journal.worker(), "the exporter of spans lags behind; an invocation is left out");
            }
        }
    }
}
