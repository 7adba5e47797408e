//! `wasi:http/types.future-incoming-response.get`: the head of a response, or that it is not there yet.

use futures::FutureExt;
use hyper::HeaderMap;
use kiln_proto::{
    Error,
    ids::OplogIndex,
    v1::{Value, value::Kind},
};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi_http::{
    FieldMap, RequestOptions,
    p2::{
        bindings::http::types::{ErrorCode, HostFutureIncomingResponse as _},
        body::HostIncomingBody,
        types::HostIncomingResponse,
    },
};

use super::{
    error_code,
    exchange::{ExchangeId, Part},
    form,
    handle::Future,
    headers,
    late_body::{Fetched, LateBody},
    trouble,
};
use crate::{
    host::{HostState, payload},
    replay::{Kind as CallKind, step::StepError},
};
use http_body_util::BodyExt;
use wasmtime_wasi_http::WasiHttpView;

const GET: &str = "http::types::future_incoming_response::get";

/// What the guest gets: nothing yet, or once a response or an error.
pub(super) type Got = Option<Result<Result<Resource<HostIncomingResponse>, ErrorCode>, ()>>;

/// The head of a response.
struct Head {
    status: u16,
    headers: HeaderMap,
}

impl HostState {
    pub(super) async fn get_response(&mut self, future: Future) -> wasmtime::Result<Got> {
        let Some(id) = self.http.exchange_of(future.rep()) else {
            // Its invocation has ended.
            return self.http().get(future);
        };
        let Some(exchange) = self.http.exchanges.get(&id) else {
            return Ok(Some(Err(())));
        };
        if exchange.is_answered {
            return Ok(Some(Err(())));
        }
        let request = payload::request(exchange.description.clone());
        let recorded = if exchange.is_recorded {
            self.recorded(GET, &request)?
        } else {
            None
        };
        let head = match recorded {
            Some(value) => head_of(value),
            None => {
                self.resume_requests().await?;
                self.fetch_head(id, future, request).await?
            }
        };
        let got = match head {
            None => None,
            Some(answer) => Some(Ok(self.give_response(id, answer)?)),
        };
        // This may have been the last that was recorded. Only now is it known which exchanges have no answer.
        self.resume_requests().await?;
        Ok(got)
    }

    /// Looks whether the response is there, and records what was found.
    async fn fetch_head(
        &mut self,
        id: ExchangeId,
        future: Future,
        request: kiln_proto::v1::Payload,
    ) -> wasmtime::Result<Option<Result<Head, ErrorCode>>> {
        // Lets the answer move on, for guests that ask without waiting.
        let _ = self.table.get_mut(&future)?.ready().now_or_never();
        let Some(exchange) = self.http.exchanges.get_mut(&id) else {
            return Ok(None);
        };
        let (begin, options, is_recorded) = (exchange.begin, exchange.options, exchange.is_recorded);
        let arrived = exchange.arrived.lock().take();
        let head = match arrived {
            None => None,
            Some(Ok(arrived)) => {
                let (parts, body) = arrived.response.into_parts();
                exchange.slot.fill(Fetched {
                    first: None,
                    body,
                    connection: arrived.connection,
                });
                let headers: HeaderMap = FieldMap::new_immutable(&mut self.http.hooks, parts.headers).into();
                Some(Ok(Head {
                    status: parts.status.as_u16(),
                    headers,
                }))
            }
            Some(Err(code)) => {
                self.retry_exchange(begin, options, &code)?;
                Some(Err(code))
            }
        };
        if is_recorded {
            let kind = CallKind::WriteRemoteBatched(Some(begin));
            self.record(GET, kind, request, value_of(head.as_ref()));
            if head.is_some() {
                self.journal.commit().await.map_err(StepError::from)?;
            }
        }
        Ok(head)
    }

    /// The transport failed. Leaves the guest, to try again, as long as its retry policy has attempts left.
    pub(super) fn retry_exchange(
        &self,
        begin: OplogIndex,
        options: RequestOptions,
        code: &ErrorCode,
    ) -> wasmtime::Result<()> {
        if !trouble::is_passing(code, options) {
            return Ok(());
        }
        let trouble = Error::unavailable(format!("an outgoing HTTP request failed: {code}"));
        self.retry_from_begin(begin, &trouble)
    }

    fn give_response(
        &mut self,
        id: ExchangeId,
        answer: Result<Head, ErrorCode>,
    ) -> wasmtime::Result<Result<Resource<HostIncomingResponse>, ErrorCode>> {
        let Some(exchange) = self.http.exchanges.get_mut(&id) else {
            return Ok(Err(ErrorCode::ConnectionTerminated));
        };
        exchange.is_answered = true;
        let head = match answer {
            Ok(head) => head,
            Err(code) => {
                // Nothing will be asked of it any more.
                exchange.unsent = None;
                return Ok(Err(code));
            }
        };
        exchange.status = Some(head.status);
        let body = LateBody(exchange.slot.clone()).boxed_unsync();
        let response = self.table.push(HostIncomingResponse {
            status: head.status,
            headers: FieldMap::new_immutable(&mut self.http.hooks, head.headers),
            body: Some(HostIncomingBody::new(body)),
        })?;
        self.http.hold(id, response.rep(), Part::Response);
        Ok(Ok(response))
    }
}

fn value_of(head: Option<&Result<Head, ErrorCode>>) -> Value {
    form::option(head.map(|head| {
        form::result(match head {
            Ok(head) => Ok(Some(form::record([
                ("status", form::value(Kind::U16Value(head.status.into()))),
                ("headers", headers::to_value(&head.headers)),
            ]))),
            Err(code) => Err(error_code::to_value(code)),
        })
    }))
}

fn head_of(value: Value) -> Option<Result<Head, ErrorCode>> {
    let answer = form::option_of(value)?;
    Some(match form::result_of(answer) {
        Ok(mut head) => {
            let status = match form::take_field(&mut head, "status").kind {
                Some(Kind::U16Value(status)) => u16::try_from(status).unwrap_or_default(),
                _ => 0,
            };
            let headers = headers::of_value(form::take_field(&mut head, "headers"));
            Ok(Head { status, headers })
        }
        Err(code) => Err(error_code::of_value(code)),
    })
}
