//! The resources of an exchange: which the guest holds, and that the exchange ends with the last of them, or with the
//! invocation at the latest.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, InputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::{
        bindings::http::types::{HostIncomingBody as _, HostIncomingResponse as _},
        body::{HostFutureTrailers, HostIncomingBody},
        types::{HostFutureIncomingResponse, HostIncomingResponse},
    },
};

use super::exchange::{Exchange, Part};
use crate::host::HostState;

/// What is left of a body when its invocation has ended.
struct Ended;

#[async_trait::async_trait]
impl Pollable for Ended {
    async fn ready(&mut self) {}
}

impl InputStream for Ended {
    fn read(&mut self, _size: usize) -> StreamResult<Bytes> {
        Err(StreamError::Closed)
    }
}

impl HostState {
    pub(super) fn consume_response(
        &mut self,
        response: Resource<HostIncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<HostIncomingBody>, ()>> {
        let id = self.http.exchange_of(response.rep());
        let consumed = self.http().consume(response)?;
        if let (Some(id), Ok(body)) = (id, &consumed) {
            self.http.hold(id, body.rep(), Part::Body);
        }
        Ok(consumed)
    }

    pub(super) fn stream_of_body(
        &mut self,
        body: Resource<HostIncomingBody>,
    ) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        let id = self.http.exchange_of(body.rep());
        let stream = self.http().stream(body)?;
        if let (Some(id), Ok(stream)) = (id, &stream) {
            self.http.hold(id, stream.rep(), Part::Stream);
        }
        Ok(stream)
    }

    pub(super) fn finish_body(
        &mut self,
        body: Resource<HostIncomingBody>,
    ) -> wasmtime::Result<Resource<HostFutureTrailers>> {
        let rep = body.rep();
        let trailers = self.http().finish(body)?;
        self.http.turn(rep, trailers.rep(), Part::Trailers);
        Ok(trailers)
    }

    /// The guest has dropped a resource, which may be one of an exchange.
    pub(in crate::host) fn dropped(&mut self, resource: u32) -> wasmtime::Result<()> {
        let Some(id) = self.http.release(resource) else {
            return Ok(());
        };
        match self.http.exchanges.remove(&id) {
            Some(exchange) => self.close_exchange(&exchange),
            None => Ok(()),
        }
    }

    fn close_exchange(&mut self, exchange: &Exchange) -> wasmtime::Result<()> {
        exchange.slot.close();
        if exchange.is_recorded {
            self.end_exchange(exchange.begin)?;
        }
        Ok(())
    }

    /// The invocation has ended, and with it all that the guest has not dropped: some languages leave that to a garbage
    /// collector. What the guest still holds is empty from now on.
    pub(in crate::host) fn end_exchanges(&mut self) -> wasmtime::Result<()> {
        let (exchanges, parts) = self.http.take_all();
        for (resource, part) in parts {
            self.empty(resource, part)?;
        }
        for exchange in &exchanges {
            self.close_exchange(exchange)?;
        }
        Ok(())
    }

    fn empty(&mut self, resource: u32, part: Part) -> wasmtime::Result<()> {
        let nothing = || {
            let body = Empty::<Bytes>::new().map_err(|never| match never {});
            HostIncomingBody::new(body.boxed_unsync())
        };
        match part {
            Part::Future => {
                let future = Resource::new_borrow(resource);
                *self.table.get_mut(&future)? = HostFutureIncomingResponse::Consumed;
            }
            Part::Response => {
                let response = Resource::<HostIncomingResponse>::new_borrow(resource);
                self.table.get_mut(&response)?.body = None;
            }
            Part::Body => *self.table.get_mut(&Resource::new_borrow(resource))? = nothing(),
            Part::Stream => {
                let ended: DynInputStream = Box::new(Ended);
                *self.table.get_mut(&Resource::new_borrow(resource))? = ended;
            }
            Part::Trailers => {
                let trailers = Resource::new_borrow(resource);
                *self.table.get_mut(&trailers)? = HostFutureTrailers::Done(Ok(None));
            }
        }
        Ok(())
    }
}
