//! A receiver of spans: the service of the OpenTelemetry protocol, as a collector offers it.

use std::sync::Arc;

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Keeps every span that arrives. Ends with the test.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub endpoint: String,
    spans: Arc<std::sync::Mutex<Vec<Span>>>,
    serving: AbortHandle,
}

impl Receiver {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let spans = Arc::<std::sync::Mutex<Vec<Span>>>::default();
        let service = TraceServiceServer::new(Service(spans.clone()));
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(serving).abort_handle();
        Ok(Self {
            endpoint,
            spans,
            serving,
        })
    }

    /// What has arrived of a trace, by its id in hexadecimal digits.
    #[must_use]
    pub fn of_trace(&self, trace_id: &str) -> Vec<Span> {
        let spans = self
            .spans
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let of_trace = spans.iter().filter(|span| hex(&span.trace_id) == trace_id);
        of_trace.cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An id in hexadecimal digits.
#[must_use]
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Service(Arc<std::sync::Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let mut spans = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        spans.extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
