//! Reading a response's body: each chunk is recorded, with the end or the error that comes after the last.

use bytes::Bytes;
use kiln_proto::v1::{Payload, Value};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, StreamError};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use super::{error_code, exchange::ExchangeId, form, late_body::Failure, resume::LOST};
use crate::{
    host::{HostState, payload},
    replay::{Kind as CallKind, step::StepError},
};

/// One of the four ways to read.
#[derive(Debug, Clone, Copy)]
pub(in crate::host) struct Reading {
    pub(in crate::host) skips: bool,
    pub(in crate::host) blocks: bool,
}

/// What one read gave.
enum Chunk {
    Bytes(Bytes),
    /// So many bytes were skipped.
    Skipped(u64),
    End,
    Failed(ErrorCode),
}

impl Reading {
    fn function(self) -> &'static str {
        match (self.skips, self.blocks) {
            (false, false) => "http::types::incoming_body_stream::read",
            (false, true) => "http::types::incoming_body_stream::blocking_read",
            (true, false) => "http::types::incoming_body_stream::skip",
            (true, true) => "http::types::incoming_body_stream::blocking_skip",
        }
    }
}

impl HostState {
    /// Reads a response's body. `None` for all other streams.
    pub(in crate::host) async fn read_response(
        &mut self,
        stream: &Resource<DynInputStream>,
        length: u64,
        reading: Reading,
    ) -> wasmtime::Result<Option<Result<Bytes, StreamError>>> {
        let chunk = self.next_chunk(stream, length, reading).await?;
        Ok(chunk.map(|chunk| match chunk {
            Chunk::Bytes(bytes) => Ok(bytes),
            Chunk::Skipped(_) => Ok(Bytes::new()),
            Chunk::End => Err(StreamError::Closed),
            Chunk::Failed(code) => Err(StreamError::LastOperationFailed(code.into())),
        }))
    }

    /// Skips a part of a response's body. `None` for all other streams.
    pub(in crate::host) async fn skip_response(
        &mut self,
        stream: &Resource<DynInputStream>,
        length: u64,
        blocks: bool,
    ) -> wasmtime::Result<Option<Result<u64, StreamError>>> {
        let reading = Reading { skips: true, blocks };
        let chunk = self.next_chunk(stream, length, reading).await?;
        Ok(chunk.map(|chunk| match chunk {
            Chunk::Skipped(length) => Ok(length),
            Chunk::Bytes(bytes) => Ok(bytes.len() as u64),
            Chunk::End => Err(StreamError::Closed),
            Chunk::Failed(code) => Err(StreamError::LastOperationFailed(code.into())),
        }))
    }

    async fn next_chunk(
        &mut self,
        stream: &Resource<DynInputStream>,
        length: u64,
        reading: Reading,
    ) -> wasmtime::Result<Option<Chunk>> {
        let Some(id) = self.http.exchange_of(stream.rep()) else {
            return Ok(None);
        };
        let is_recorded = self
            .http
            .exchanges
            .get(&id)
            .is_some_and(|exchange| exchange.is_recorded);
        let request = payload::request(payload::u64_value(length));
        if is_recorded && let Some(recorded) = self.recorded(reading.function(), &request)? {
            let chunk = chunk_of(recorded, reading);
            self.remember(id, &chunk);
            return Ok(Some(chunk));
        }
        let chunk = self.read_wire(id, stream, length, reading).await?;
        if is_recorded {
            self.record_chunk(id, reading, request, &chunk).await?;
        }
        Ok(Some(chunk))
    }

    /// So that the same place is found if the response has to be fetched again.
    fn remember(&mut self, id: ExchangeId, chunk: &Chunk) {
        let Some(exchange) = self.http.exchanges.get_mut(&id) else {
            return;
        };
        match chunk {
            Chunk::Bytes(bytes) => exchange.prefix.read(bytes),
            Chunk::Skipped(length) => exchange.prefix.skip(*length),
            // Nothing more is to come, except trailers.
            Chunk::End | Chunk::Failed(_) => {}
        }
    }

    async fn read_wire(
        &mut self,
        id: ExchangeId,
        stream: &Resource<DynInputStream>,
        length: u64,
        reading: Reading,
    ) -> wasmtime::Result<Chunk> {
        self.resume_requests().await?;
        self.resume_body(id)?;
        let most = self.http.client.network.http.chunk_bytes_max.max(1);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(most);
        let stream = self.table.get_mut(stream)?;
        if reading.blocks && length > 0 {
            stream.ready().await;
        }
        match stream.read(length) {
            Ok(bytes) if reading.skips => Ok(Chunk::Skipped(bytes.len() as u64)),
            Ok(bytes) => Ok(Chunk::Bytes(bytes)),
            Err(StreamError::Closed) => Ok(Chunk::End),
            Err(StreamError::LastOperationFailed(_)) => self.broken(id).await.map(Chunk::Failed),
            Err(StreamError::Trap(error)) => Err(error),
        }
    }

    /// The body cannot be read further: leaves the guest if another attempt may help, else tells what it hears.
    pub(super) async fn broken(&mut self, id: ExchangeId) -> wasmtime::Result<ErrorCode> {
        let Some(exchange) = self.http.exchanges.get(&id) else {
            return Ok(LOST);
        };
        let (begin, options) = (exchange.begin, exchange.options);
        match exchange.slot.failure() {
            Some(Failure::Transport(code)) => {
                self.retry_exchange(begin, options, &code)?;
                Ok(code)
            }
            Some(Failure::Differs) if exchange.is_recorded && self.can_go_back_to(begin) => {
                self.go_back_to(begin).await?;
                Ok(LOST)
            }
            Some(Failure::Differs) | None => Ok(LOST),
        }
    }

    async fn record_chunk(
        &mut self,
        id: ExchangeId,
        reading: Reading,
        request: Payload,
        chunk: &Chunk,
    ) -> wasmtime::Result<()> {
        let begin = self.http.exchanges.get(&id).map(|exchange| exchange.begin);
        let kind = CallKind::WriteRemoteBatched(begin);
        self.record(reading.function(), kind, request, value_of(chunk));
        // A chunk that gets lost is fetched again; only the tail must not grow without bound.
        if self.journal.is_full() {
            self.journal.commit().await.map_err(StepError::from)?;
        }
        Ok(())
    }
}

fn value_of(chunk: &Chunk) -> Value {
    form::result(match chunk {
        Chunk::Bytes(bytes) => Ok(Some(form::bytes(bytes.clone()))),
        Chunk::Skipped(length) => Ok(Some(payload::u64_value(*length))),
        Chunk::Failed(code) => Err(form::variant(
            "last-operation-failed",
            0,
            Some(error_code::to_value(code)),
        )),
        Chunk::End => Err(form::variant("closed", 1, None)),
    })
}

fn chunk_of(value: Value, reading: Reading) -> Chunk {
    match form::result_of(value) {
        Ok(length) if reading.skips => Chunk::Skipped(payload::u64_of(&length)),
        Ok(bytes) => Chunk::Bytes(form::bytes_of(bytes)),
        Err(error) => match form::variant_of(error) {
            (name, Some(code)) if name == "last-operation-failed" => {
                Chunk::Failed(error_code::of_value(code))
            }
            _ => Chunk::End,
        },
    }
}
