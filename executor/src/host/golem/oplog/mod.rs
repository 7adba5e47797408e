//! `golem:api/oplog`, in all its versions and both dialects: guests read and search oplogs, their own and others'.
//!
//! * `form` – entries as guests see them
//! * `processor` – the arguments of a component that is given oplogs
//! * `page` – a page of an oplog: of the own one from the journal, of others from their owners

mod form;
mod page;
mod processor;

use kiln_proto::{ids::WorkerId, v1::Value};
use wasmtime::component::Resource;

use crate::{
    host::{
        HostState,
        durable::Begun,
        dynamic::{Arguments, Interface, ResourceKind, handle},
        golem::shapes::worker_id_of,
    },
    oplog_query::Query,
    replay::Kind as CallKind,
};

pub(in crate::host::golem) use form::datetime;
use page::Page;
pub(crate) use processor::{Batch, processor_arguments, processor_introduction};

const GET: &str = "golem::api::oplog::get-oplog::get-next";
const SEARCH: &str = "golem::api::oplog::search-oplog::get-next";

const GET_OPLOG: ResourceKind = ResourceKind::of::<Reading>(21);
const SEARCH_OPLOG: ResourceKind = ResourceKind::of::<Reading>(22);

pub(super) fn interface() -> Interface {
    Interface::new("golem:api/oplog", &["1.1."])
        .resource(&["get-oplog"], GET_OPLOG)
        .function(&["[constructor]get-oplog"], |state, arguments| {
            Box::pin(async { new_reading(state, arguments) })
        })
        .function(&["[method]get-oplog.get-next"], |state, arguments| {
            Box::pin(get_next(state, arguments, GET))
        })
        .resource(&["search-oplog"], SEARCH_OPLOG)
        .function(&["[constructor]search-oplog"], |state, arguments| {
            Box::pin(async { new_search(state, arguments) })
        })
        .function(&["[method]search-oplog.get-next"], |state, arguments| {
            Box::pin(get_next(state, arguments, SEARCH))
        })
}

/// An oplog that a guest reads page by page.
#[derive(Clone)]
struct Reading {
    worker: WorkerId,
    query: String,
    /// Where the next page starts; 0 after the last one.
    next: u64,
    /// The last entry that counts. Reading its own oplog makes it longer, so there the end is fixed at the first page.
    end: Option<u64>,
}

fn new_reading(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let worker = worker_id_of(&arguments.value()?)?;
    let start = arguments.u64()?;
    push(state, worker, start, String::new())
}

fn new_search(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let worker = worker_id_of(&arguments.value()?)?;
    let query = arguments.string()?;
    Query::parse(&query)?;
    push(state, worker, 1, query)
}

fn push(
    state: &mut HostState,
    worker: WorkerId,
    start: u64,
    query: String,
) -> wasmtime::Result<Option<Value>> {
    let reading = Reading {
        worker,
        query,
        next: start.max(1),
        end: None,
    };
    Ok(Some(handle(state.table.push(reading)?.rep())))
}

async fn get_next(
    state: &mut HostState,
    mut arguments: Arguments,
    name: &'static str,
) -> wasmtime::Result<Option<Value>> {
    let rep = arguments.resource()?;
    let reading = state.table.get(&Resource::<Reading>::new_borrow(rep))?.clone();
    let page = match state
        .begin(name, CallKind::ReadRemote, reading.next.into())
        .await?
    {
        Begun::Recorded(recorded) => Page::from_record(state, &recorded)?,
        Begun::New(call) if reading.worker == state.context.id => {
            let page = page::of_own(state, &reading).await?;
            state.end(call, page.to_record_of_own()).await?;
            page
        }
        Begun::New(call) => {
            let cluster = state.context.cluster.clone();
            let page = match page::of_other(&*cluster, &reading).await {
                Ok(page) => page,
                Err(error) => {
                    state.retry_after(&call, &error)?;
                    return Err(error.into());
                }
            };
            state.end(call, page.to_record_of_other()).await?;
            page
        }
    };
    let reading = state.table.get_mut(&Resource::<Reading>::new_borrow(rep))?;
    reading.next = page.next;
    reading.end = page.end;
    Ok(Some(page.into_answer(name == SEARCH)))
}
