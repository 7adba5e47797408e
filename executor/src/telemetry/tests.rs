//! Spans arrive at a real OTLP receiver, once each, whoever the owner was when they began.

use std::{sync::Arc, time::Duration};

use kiln_proto::{
    ids::{ComponentId, Epoch, OplogIndex, WorkerId},
    v1::{
        BeginIndexEntry, EmptyEntry, ExportedFunctionCompletedEntry, ExportedFunctionInvokedEntry,
        FieldValue, FinishSpanEntry, FunctionType, ImportedFunctionInvokedEntry, InvocationContext, KeyValue,
        Payload, RegionEntry, SetSpanAttributeEntry, Span as WireSpan, SpanStack, StartSpanEntry, Value,
        function_type::Kind, oplog_entry::Entry, payload,
    },
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{Request, Response, Status, transport::Server};

use super::Telemetry;
use crate::journal::{Journal, MemoryOplog, Options};

struct Receiver(mpsc::UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            self.0
                .send(span)
                .map_err(|_| Status::unavailable("the test is over"))?;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn receiver() -> (String, mpsc::UnboundedReceiver<Span>) {
    let (sender, spans) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(
        Server::builder()
            .add_service(TraceServiceServer::new(Receiver(sender)))
            .serve_with_incoming(incoming),
    );
    (format!("http://{address}"), spans)
}

fn journal(store: &Arc<MemoryOplog>) -> Journal {
    let worker = WorkerId {
        component: ComponentId(uuid::Uuid::nil()),
        name: "w".parse().expect("a valid name"),
    };
    Journal::open(store.clone(), Options::new(worker, Epoch(1), store.last())).expect("a readable oplog")
}

fn start(id: &str, parent: Option<&str>) -> Entry {
    Entry::StartSpan(StartSpanEntry {
        span_id: id.into(),
        parent: parent.map(str::to_owned),
        linked_context: None,
        attributes: vec![KeyValue {
            key: "name".into(),
            value: format!("span {id}"),
        }],
    })
}

fn finish(id: &str) -> Entry {
    Entry::FinishSpan(FinishSpanEntry { span_id: id.into() })
}

fn host_call(kind: Kind) -> Entry {
    Entry::ImportedFunctionInvoked(ImportedFunctionInvokedEntry {
        function_name: "shop::pay".into(),
        function_type: Some(FunctionType {
            kind: kind.into(),
            begin_index: 0,
        }),
        ..ImportedFunctionInvokedEntry::default()
    })
}

fn invoked() -> Entry {
    let caller = WireSpan {
        span_id: "00f067aa0ba902b7".into(),
        external: true,
        ..WireSpan::default()
    };
    Entry::ExportedFunctionInvoked(ExportedFunctionInvokedEntry {
        function_name: "shop:cart/api.{buy}".into(),
        idempotency_key: "k".into(),
        context: Some(InvocationContext {
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            trace_states: vec!["a=1".into()],
            stacks: vec![SpanStack { spans: vec![caller] }],
        }),
        ..ExportedFunctionInvokedEntry::default()
    })
}

#[tokio::test]
async fn an_invocation_arrives_once_with_its_spans_and_calls() {
    let (endpoint, mut received) = receiver().await;
    let store = Arc::new(MemoryOplog::default());
    let first_owner = journal(&store);
    let entries = [
        invoked(),
        start("000000000000000a", None),
        start("00000000000000ff", None),
        Entry::Jump(RegionEntry { start: 3, end: 4 }),
        host_call(Kind::ReadLocal),
        host_call(Kind::WriteRemote),
        Entry::SetSpanAttribute(SetSpanAttributeEntry {
            span_id: "000000000000000a".into(),
            key: "color".into(),
            value: "red".into(),
        }),
    ];
    for entry in entries {
        first_owner.append(entry);
    }
    first_owner.commit().await.expect("a vector takes everything");
    drop(first_owner);

    // The owner died; another one replays, goes on and commits the end.
    let owner = journal(&store);
    while owner.take().expect("a readable oplog").is_some() {}
    owner.append(finish("000000000000000a"));
    owner.append(Entry::ExportedFunctionCompleted(
        ExportedFunctionCompletedEntry::default(),
    ));
    owner.append(invoked());
    owner.commit().await.expect("a vector takes everything");
    let telemetry = Telemetry::start(Some(&endpoint));
    telemetry.ended(&owner, OplogIndex::FIRST);

    let mut spans = Vec::new();
    for _ in 0..3 {
        let span = tokio::time::timeout(Duration::from_secs(30), received.recv());
        spans.push(span.await.expect("spans within the deadline").expect("a span"));
    }
    drop(telemetry);
    assert!(received.try_recv().is_err(), "nothing more");
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(
        names,
        ["shop:cart/api.{buy}", "span 000000000000000a", "shop::pay"]
    );
    assert_eq!(
        spans[0].parent_span_id,
        [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
    );
    assert_eq!(spans[1].parent_span_id, spans[0].span_id);
    assert_eq!(spans[2].parent_span_id, spans[1].span_id);
    assert!(
        spans
            .iter()
            .all(|span| span.trace_id == spans[0].trace_id && span.trace_state == "a=1")
    );
    assert!(spans[1].attributes.iter().any(|pair| pair.key == "color"));
}

fn http_step(function: &str, begin: u64) -> Entry {
    let request = Value::record(vec![
        FieldValue::of("method", "GET"),
        FieldValue::of("uri", "http://shop.example/cart"),
    ]);
    Entry::ImportedFunctionInvoked(ImportedFunctionInvokedEntry {
        function_name: format!("http::types::{function}"),
        request: Some(Payload {
            payload: Some(payload::Payload::Value(request)),
            wit_type: None,
        }),
        function_type: Some(FunctionType {
            kind: Kind::WriteRemoteBatched.into(),
            begin_index: begin,
        }),
        ..ImportedFunctionInvokedEntry::default()
    })
}

/// Two requests at the same time: each is one span in the one that it began in, whatever its steps and their order.
#[tokio::test]
async fn an_http_request_is_one_span() {
    let store = Arc::new(MemoryOplog::default());
    let owner = journal(&store);
    let begin = || Entry::BeginRemoteWrite(EmptyEntry {});
    let end = |begin_index| Entry::EndRemoteWrite(BeginIndexEntry { begin_index });
    for entry in [
        invoked(),
        begin(),
        start("000000000000000a", None),
        begin(),
        http_step("future_incoming_response::get", 4),
        http_step("future_incoming_response::get", 2),
        http_step("incoming_body_stream::read", 2),
        end(2),
        finish("000000000000000a"),
        http_step("incoming_body_stream::read", 4),
        end(4),
    ] {
        owner.append(entry);
    }
    owner.commit().await.expect("a vector takes everything");
    let entries = owner.read(OplogIndex::FIRST, 100).expect("readable");
    let spans = super::trace::spans(owner.worker(), &entries);
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let request = "outgoing-http-request";
    assert_eq!(
        names,
        ["shop:cart/api.{buy}", "span 000000000000000a", request, request]
    );
    assert_eq!(
        spans[2].parent_span_id, spans[1].span_id,
        "begun inside the guest's span"
    );
    assert_eq!(spans[3].parent_span_id, spans[0].span_id, "begun before it");
    for (span, first, last) in [(&spans[2], 3, 10), (&spans[3], 1, 7)] {
        let at = |position: usize| entries[position].1.timestamp_ns;
        assert_eq!(
            (span.start_time_unix_nano, span.end_time_unix_nano),
            (at(first), at(last))
        );
        let begin = entries[first].0;
        assert_eq!(
            span.span_id,
            bytes(&crate::host::call_span_id(owner.worker(), begin))
        );
        assert!(span.attributes.iter().any(|pair| pair.key == "request.uri"));
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    u64::from_str_radix(hex, 16).expect("digits").to_be_bytes().into()
}
