//! `wasi:http/types.future-trailers.get`: what comes after the body, recorded.

use futures::FutureExt;
use hyper::HeaderMap;
use kiln_proto::v1::{Payload, Value};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi_http::{
    FieldMap, WasiHttpView,
    p2::{
        bindings::http::types::{ErrorCode, HostFutureTrailers as _},
        body::HostFutureTrailers,
    },
};

use super::{error_code, exchange::ExchangeId, form, headers};
use crate::{
    host::{HostState, payload},
    replay::{Kind as CallKind, step::StepError},
};

const GET: &str = "golem http::types::future_trailers::get";

type Fields = Resource<FieldMap>;
/// What the guest gets: nothing yet, or once the trailers, none, or an error.
pub(super) type Got = Option<Result<Result<Option<Fields>, ErrorCode>, ()>>;
/// The same before it is a resource.
type Found = Result<Option<HeaderMap>, ErrorCode>;

impl HostState {
    pub(super) async fn get_trailers(
        &mut self,
        trailers: Resource<HostFutureTrailers>,
    ) -> wasmtime::Result<Got> {
        let Some(id) = self.http.exchange_of(trailers.rep()) else {
            // Of a request to this component, or its invocation has ended.
            return self.http().get(trailers);
        };
        let Some(exchange) = self.http.exchanges.get(&id) else {
            return Ok(Some(Err(())));
        };
        if exchange.has_trailers {
            return Ok(Some(Err(())));
        }
        let is_recorded = exchange.is_recorded;
        let request = payload::request(exchange.description.clone());
        let recorded = if is_recorded {
            self.recorded(GET, &request)?
        } else {
            None
        };
        let found = match recorded {
            Some(value) => found_of(value),
            None => self.fetch_trailers(id, trailers, request).await?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        if let Some(exchange) = self.http.exchanges.get_mut(&id) {
            exchange.has_trailers = true;
        }
        let given = match found {
            Ok(Some(headers)) => {
                let fields = FieldMap::new_immutable(&mut self.http.hooks, headers);
                Ok(Some(self.table.push(fields)?))
            }
            Ok(None) => Ok(None),
            Err(code) => Err(code),
        };
        Ok(Some(Ok(given)))
    }

    async fn fetch_trailers(
        &mut self,
        id: ExchangeId,
        trailers: Resource<HostFutureTrailers>,
        request: Payload,
    ) -> wasmtime::Result<Option<Found>> {
        self.resume_requests().await?;
        self.resume_body(id)?;
        let future = self.table.get_mut(&trailers)?;
        // Lets it move on, for guests that ask without waiting.
        let _ = future.ready().now_or_never();
        let found = match std::mem::replace(future, HostFutureTrailers::Consumed) {
            HostFutureTrailers::Done(Ok(headers)) => Some(Ok(headers)),
            HostFutureTrailers::Done(Err(_)) => Some(Err(self.broken(id).await?)),
            HostFutureTrailers::Consumed => Some(Ok(None)),
            waiting @ HostFutureTrailers::Waiting(_) => {
                *future = waiting;
                None
            }
        };
        let Some(exchange) = self.http.exchanges.get(&id) else {
            return Ok(found);
        };
        if exchange.is_recorded {
            let kind = CallKind::WriteRemoteBatched(Some(exchange.begin));
            self.record(GET, kind, request, value_of(found.as_ref()));
            if found.is_some() {
                self.journal.commit().await.map_err(StepError::from)?;
            }
        }
        Ok(found)
    }
}

fn value_of(found: Option<&Found>) -> Value {
    form::option(found.map(|found| {
        form::result(match found {
            Ok(headers) => Ok(Some(form::option(headers.as_ref().map(headers::to_value)))),
            Err(code) => Err(error_code::to_value(code)),
        })
    }))
}

fn found_of(value: Value) -> Option<Found> {
    let found = form::option_of(value)?;
    Some(match form::result_of(found) {
        Ok(headers) => Ok(form::option_of(headers).map(headers::of_value)),
        Err(code) => Err(error_code::of_value(code)),
    })
}
