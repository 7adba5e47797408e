//! `wasi:io/streams`, where what the guest gets would depend on time. Reading a response's body is recorded. An output
//! stream says how much it takes once it takes something, so that the answer is the same in every life of the worker.

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, subscribe};
use wasmtime_wasi_io::bindings::wasi::io::streams::{self, Host as _, HostInputStream as _};

use super::http::Reading;
use crate::host::HostState;

const STREAMS: &str = "wasi:io/streams@0.2.12";

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;
/// As the guest sees it.
type Outcome<T> = wasmtime::Result<(Result<T, streams::StreamError>,)>;

/// Replaces functions of wasmtime-wasi. Shadowing has to be allowed.
pub(in crate::host) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(STREAMS)?;
    for (name, blocks) in [
        ("[method]input-stream.read", false),
        ("[method]input-stream.blocking-read", true),
    ] {
        streams.func_wrap_async(name, move |mut store, (stream, length): (Input, u64)| {
            Box::new(async move {
                let state: &mut HostState = store.data_mut();
                let read = state.read_input(stream, length, blocks).await;
                state.outcome(read.map(Vec::from))
            })
        })?;
    }
    for (name, blocks) in [
        ("[method]input-stream.skip", false),
        ("[method]input-stream.blocking-skip", true),
    ] {
        streams.func_wrap_async(name, move |mut store, (stream, length): (Input, u64)| {
            Box::new(async move {
                let state: &mut HostState = store.data_mut();
                let skipped = state.skip_input(stream, length, blocks).await;
                state.outcome(skipped)
            })
        })?;
    }
    streams.func_wrap(
        "[method]input-stream.subscribe",
        |mut store, (stream,): (Input,)| -> wasmtime::Result<(Resource<DynPollable>,)> {
            let state: &mut HostState = store.data_mut();
            let rep = stream.rep();
            let pollable = subscribe(&mut state.table, stream)?;
            state.note_pollable(&pollable, rep);
            Ok((pollable,))
        },
    )?;
    streams.resource_async(
        "input-stream",
        ResourceType::host::<DynInputStream>(),
        |mut store, rep| {
            Box::new(async move {
                let state: &mut HostState = store.data_mut();
                state.table.drop(Resource::<DynInputStream>::new_own(rep)).await?;
                state.dropped(rep)
            })
        },
    )?;
    add_output(linker)
}

fn add_output(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(STREAMS)?;
    streams.func_wrap_async(
        "[method]output-stream.check-write",
        |mut store, (stream,): (Output,)| {
            Box::new(async move {
                let state: &mut HostState = store.data_mut();
                let room = state.output_room(&stream).await;
                state.outcome(room.map(|room| room as u64))
            })
        },
    )?;
    for (name, blocks) in [
        ("[method]output-stream.splice", false),
        ("[method]output-stream.blocking-splice", true),
    ] {
        streams.func_wrap_async(
            name,
            move |mut store, (target, source, length): (Output, Input, u64)| {
                Box::new(async move {
                    let state: &mut HostState = store.data_mut();
                    let spliced = state.splice(target, source, length, blocks).await;
                    state.outcome(spliced)
                })
            },
        )?;
    }
    Ok(())
}

impl HostState {
    async fn read_input(
        &mut self,
        stream: Input,
        length: u64,
        blocks: bool,
    ) -> Result<bytes::Bytes, StreamError> {
        let reading = Reading { skips: false, blocks };
        match self.read_response(&stream, length, reading).await {
            Ok(Some(read)) => read,
            Ok(None) if blocks => self.table.blocking_read(stream, length).await.map(Into::into),
            Ok(None) => self.table.read(stream, length).map(Into::into),
            Err(error) => Err(StreamError::Trap(error)),
        }
    }

    async fn skip_input(&mut self, stream: Input, length: u64, blocks: bool) -> Result<u64, StreamError> {
        match self.skip_response(&stream, length, blocks).await {
            Ok(Some(skipped)) => skipped,
            Ok(None) if blocks => self.table.blocking_skip(stream, length).await,
            Ok(None) => self.table.skip(stream, length),
            Err(error) => Err(StreamError::Trap(error)),
        }
    }

    async fn output_room(&mut self, stream: &Output) -> Result<usize, StreamError> {
        self.table.get_mut(stream)?.write_ready().await
    }

    async fn splice(
        &mut self,
        target: Output,
        source: Input,
        length: u64,
        blocks: bool,
    ) -> Result<u64, StreamError> {
        let room = self.output_room(&target).await?;
        let length = length.min(room as u64);
        if length == 0 {
            return Ok(0);
        }
        let bytes = self.read_input(source, length, blocks).await?;
        let spliced = bytes.len() as u64;
        if spliced > 0 {
            self.table.get_mut(&target)?.write(bytes)?;
        }
        Ok(spliced)
    }

    fn outcome<T>(&mut self, outcome: Result<T, StreamError>) -> Outcome<T> {
        Ok((match outcome {
            Ok(value) => Ok(value),
            Err(error) => Err(self.table.convert_stream_error(error)?),
        },))
    }
}
