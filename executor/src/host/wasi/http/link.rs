//! Where the host's own functions replace those of wasmtime-wasi-http. All others are pure data and stay as they are.

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::subscribe;
use wasmtime_wasi_http::{
    RequestOptions,
    p2::{
        body::{HostFutureTrailers, HostIncomingBody},
        types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest},
    },
};

use crate::host::HostState;

const TYPES: &str = "wasi:http/types@0.2.12";
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Adds `wasi:http`, durable. Shadowing has to be allowed.
pub(in crate::host) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.instance(HANDLER)?.func_wrap_async(
        "handle",
        |mut store, (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>)| {
            Box::new(async move { Ok((store.data_mut().handle_request(request, options).await?,)) })
        },
    )?;
    add_answers(linker)?;
    add_bodies(linker)?;
    add_drops(linker)
}

fn add_answers(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async(
        "[method]future-incoming-response.get",
        |mut store, (future,): (Resource<HostFutureIncomingResponse>,)| {
            Box::new(async move { Ok((store.data_mut().get_response(future).await?,)) })
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.subscribe",
        |mut store, (future,): (Resource<HostFutureIncomingResponse>,)| {
            let state = store.data_mut();
            let rep = future.rep();
            let pollable = subscribe(&mut state.table, future)?;
            state.note_pollable(&pollable, rep);
            Ok((pollable,))
        },
    )
}

fn add_bodies(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]incoming-response.consume",
        |mut store, (response,): (Resource<HostIncomingResponse>,)| {
            Ok((store.data_mut().consume_response(response)?,))
        },
    )?;
    types.func_wrap(
        "[method]incoming-body.stream",
        |mut store, (body,): (Resource<HostIncomingBody>,)| Ok((store.data_mut().stream_of_body(body)?,)),
    )?;
    types.func_wrap(
        "[static]incoming-body.finish",
        |mut store, (body,): (Resource<HostIncomingBody>,)| Ok((store.data_mut().finish_body(body)?,)),
    )?;
    types.func_wrap_async(
        "[method]future-trailers.get",
        |mut store, (trailers,): (Resource<HostFutureTrailers>,)| {
            Box::new(async move { Ok((store.data_mut().get_trailers(trailers).await?,)) })
        },
    )?;
    types.func_wrap(
        "[method]future-trailers.subscribe",
        |mut store, (trailers,): (Resource<HostFutureTrailers>,)| {
            let state = store.data_mut();
            let rep = trailers.rep();
            let pollable = subscribe(&mut state.table, trailers)?;
            state.note_pollable(&pollable, rep);
            Ok((pollable,))
        },
    )
}

fn add_drops(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    add_drop::<HostFutureIncomingResponse>(linker, "future-incoming-response")?;
    add_drop::<HostIncomingResponse>(linker, "incoming-response")?;
    add_drop::<HostIncomingBody>(linker, "incoming-body")?;
    add_drop::<HostFutureTrailers>(linker, "future-trailers")
}

fn add_drop<T: Send + 'static>(linker: &mut Linker<HostState>, name: &str) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<T>();
    linker.instance(TYPES)?.resource(name, ty, |mut store, rep| {
        let state = store.data_mut();
        state.table.delete(Resource::<T>::new_own(rep))?;
        state.dropped(rep)
    })
}
