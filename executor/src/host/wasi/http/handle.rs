//! `wasi:http/outgoing-handler.handle`: begins an exchange and sends the request.

use hyper::{HeaderMap, header::HeaderName};
use kiln_proto::ids::OplogIndex;
use wasmtime::component::Resource;
use wasmtime_wasi_http::{
    RequestOptions,
    p2::{
        bindings::http::types::ErrorCode,
        types::{HostFutureIncomingResponse, HostOutgoingRequest},
    },
};

use super::{
    exchange::{Exchange, Part, Unsent},
    request,
    request_body::{Hold, hold, steady},
};
use crate::host::{HostState, call_span_id, idempotency::derived_key};

pub(super) type Future = Resource<HostFutureIncomingResponse>;

impl HostState {
    /// The request is on its way when this returns, beside others. One that was sent in an earlier life of the worker waits
    /// until it turns out what is recorded of its response.
    pub(super) async fn handle_request(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Future, ErrorCode>> {
        let options = match &options {
            Some(options) => *self.table.get(options)?,
            None => RequestOptions::default(),
        };
        let (mut head, body) = match request::build(self.table.delete(request)?) {
            Ok(built) => built,
            Err(code) => return Ok(Err(code)),
        };
        let begun = self.begin_exchange().await?;
        let added = self.added_headers(begun.index, &head.headers);
        request::add_headers(&mut head.headers, added);
        let mut exchange = Exchange::new(&begun, request::describe(&head), options);
        // Nothing is recorded of one that was begun in an earlier life, if its beginning is the last that is recorded.
        let is_sent_now = begun.is_new || self.journal.is_live();
        let (body, hold) = if is_sent_now {
            (steady(body), Hold::default())
        } else {
            hold(body, self.http.client.network.http.held_body_bytes_max)
        };
        exchange.unsent = Some(Unsent { head, body, hold });
        // Stands for the answer until the request is sent.
        let future = self.table.push(HostFutureIncomingResponse::Consumed)?;
        exchange.future = future.rep();
        let id = self.http.add(exchange);
        self.http.hold(id, future.rep(), Part::Future);
        if begun.is_new {
            self.send_request(id)?;
        }
        // Also those that were begun before, when this was the last that is recorded.
        self.resume_requests().await?;
        Ok(Ok(future))
    }

    /// Beside the key, those that carry the trace on: the request is a span of its own, as it is exported later.
    fn added_headers(&mut self, begin: OplogIndex, own: &HeaderMap) -> Vec<(HeaderName, String)> {
        let key = derived_key(&self.invocation.key, begin).to_string();
        let mut added = vec![(request::IDEMPOTENCY_KEY, key)];
        // A guest that sends a trace of its own is part of that one alone.
        if self.forwards_trace && !own.contains_key(&request::TRACEPARENT) {
            let span_id = call_span_id(&self.context.id, begin);
            let [parent, states] = self.spans().headers_of(&span_id);
            added.push((request::TRACEPARENT, parent));
            added.extend(
                Some(states)
                    .filter(|states| !states.is_empty())
                    .map(|states| (request::TRACESTATE, states)),
            );
        }
        added
    }
}
