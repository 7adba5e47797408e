//! `get-workers`: listing a component's workers, in pages.

use kiln_proto::{
    ids::{ComponentId, WorkerId},
    v1::{Value, WorkerRecord, WorkerStatus, value::Kind},
};
use wasmtime::component::Resource;

use super::identity::metadata_of;
use crate::{
    enumerate::filter::{Filter, Order, TextComparison, TextTest},
    host::{
        HostState, WorkersQuery,
        durable::Begun,
        dynamic::{Arguments, Interface, ResourceKind, handle},
        golem::shapes::{component_id, component_id_of, field, list, option, record, text_field, u64_field},
        payload::{string, u64_value},
    },
    replay::{Kind as CallKind, step::StepError},
};

const GET_NEXT: &str = "golem::api::get-workers::get-next";
const WORKERS: ResourceKind = ResourceKind::of::<Listing>(2);
/// Workers a page.
const PAGE: usize = 50;

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .resource(&["get-workers", "get-agents"], WORKERS)
        .function(
            &["[constructor]get-workers", "[constructor]get-agents"],
            |state, arguments| Box::pin(async { open(state, arguments) }),
        )
        .function(
            &["[method]get-workers.get-next", "[method]get-agents.get-next"],
            |state, arguments| Box::pin(get_next(state, arguments)),
        )
}

/// Where a guest stands in a list of workers.
struct Listing {
    component: ComponentId,
    filter: Filter,
    is_precise: bool,
    /// Counts the pages that the guest has taken, which sets their recorded requests apart.
    taken: u64,
    /// The text that continues the list; `None` after the last page.
    cursor: Option<String>,
}

fn open(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let component = component_id_of(&arguments.value()?)?;
    let filter = match arguments.option()? {
        Some(filter) => any_of(&filter)?,
        None => Filter::All(Vec::new()),
    };
    let listing = Listing {
        component,
        filter,
        is_precise: arguments.bool()?,
        taken: 0,
        cursor: Some(String::new()),
    };
    let resource = state.table.push(listing)?;
    Ok(Some(handle(resource.rep())))
}

/// The page is recorded with the cursor behind it, so that a life after a crash goes on where this one stood.
async fn get_next(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let resource = Resource::<Listing>::new_borrow(arguments.resource()?);
    let listing = state.table.get_mut(&resource)?;
    let Some(cursor) = listing.cursor.clone() else {
        return Ok(Some(option(None)));
    };
    let query = WorkersQuery {
        component: listing.component,
        filter: listing.filter.clone(),
        is_precise: listing.is_precise,
        cursor,
        limit: PAGE,
    };
    listing.taken += 1;
    let asked = record([
        ("component-id", component_id(listing.component)),
        ("page", u64_value(listing.taken)),
    ]);
    let page = match state.begin(GET_NEXT, CallKind::ReadRemote, asked).await? {
        Begun::Recorded(page) => page,
        Begun::New(call) => {
            // The list includes this worker, which may not be stored yet.
            state.journal.commit().await.map_err(StepError::from)?;
            let cluster = state.context.cluster.clone();
            let found = cluster.list_workers(query).await.map_err(StepError::from)?;
            let page = record([
                ("workers", list(found.workers.iter().filter_map(row).collect())),
                ("cursor", string(&found.cursor)),
            ]);
            state.end(call, page).await?
        }
    };
    let cursor = text_field(&page, &["cursor"])?;
    state.table.get_mut(&resource)?.cursor = (!cursor.is_empty()).then_some(cursor);
    Ok(Some(option(Some(field(&page, &["workers"])?.clone()))))
}

fn row(found: &WorkerRecord) -> Option<Value> {
    let id = WorkerId::try_from(found.worker_id.as_ref()?).ok()?;
    Some(metadata_of(&id, found))
}

/// The filters inside a filter.
fn filters(value: &Value) -> wasmtime::Result<&[Value]> {
    match &field(value, &["filters"])?.kind {
        Some(Kind::List(list)) => Ok(&list.values),
        _ => wasmtime::bail!("a filter has no list of filters"),
    }
}

fn any_of(value: &Value) -> wasmtime::Result<Filter> {
    let all = filters(value)?.iter().map(all_of);
    let any = all.collect::<wasmtime::Result<Vec<_>>>()?;
    // No condition at all lets every worker pass.
    Ok(if any.is_empty() {
        Filter::All(Vec::new())
    } else {
        Filter::Any(any)
    })
}

fn all_of(value: &Value) -> wasmtime::Result<Filter> {
    let properties = filters(value)?.iter().map(property);
    Ok(Filter::All(properties.collect::<wasmtime::Result<_>>()?))
}

fn property(value: &Value) -> wasmtime::Result<Filter> {
    let Some(Kind::Variant(variant)) = &value.kind else {
        wasmtime::bail!("a property filter is no variant");
    };
    let name = variant.case.as_ref().map_or("", |case| case.name.as_str());
    let Some(filter) = variant.payload.as_deref() else {
        wasmtime::bail!("the filter {name} says nothing");
    };
    Ok(match name {
        "name" => Filter::Name(text_test(filter)?),
        "status" => Filter::Status(order(filter)?, status(filter)?),
        "version" => Filter::Version(order(filter)?, u64_field(filter, "value")?),
        "created-at" => Filter::created_at_ms(order(filter)?, u64_field(filter, "value")?),
        "env" => Filter::Env(text_field(filter, &["name"])?, text_test(filter)?),
        "wasi-config-vars" => Filter::Config(text_field(filter, &["name"])?, text_test(filter)?),
        other => wasmtime::bail!("there is no property {other} of workers"),
    })
}

fn text_test(filter: &Value) -> wasmtime::Result<TextTest> {
    let comparison = match enum_field(filter, "comparator")? {
        "equal" => TextComparison::Equal,
        "not-equal" => TextComparison::NotEqual,
        "like" => TextComparison::Like,
        "not-like" => TextComparison::NotLike,
        "starts-with" => TextComparison::StartsWith,
        other => wasmtime::bail!("there is no comparison {other} of texts"),
    };
    Ok(TextTest {
        comparison,
        value: text_field(filter, &["value"])?,
    })
}

fn order(filter: &Value) -> wasmtime::Result<Order> {
    Ok(match enum_field(filter, "comparator")? {
        "equal" => Order::Equal,
        "not-equal" => Order::NotEqual,
        "greater-equal" => Order::GreaterOrEqual,
        "greater" => Order::Greater,
        "less-equal" => Order::LessOrEqual,
        "less" => Order::Less,
        other => wasmtime::bail!("there is no comparison {other}"),
    })
}

fn status(filter: &Value) -> wasmtime::Result<WorkerStatus> {
    Ok(match enum_field(filter, "value")? {
        "running" => WorkerStatus::Running,
        "idle" => WorkerStatus::Idle,
        "suspended" => WorkerStatus::Suspended,
        "interrupted" => WorkerStatus::WorkerInterrupted,
        "retrying" => WorkerStatus::Retrying,
        "failed" => WorkerStatus::Failed,
        "exited" => WorkerStatus::Exited,
        other => wasmtime::bail!("there is no status {other}"),
    })
}

fn enum_field<'v>(filter: &'v Value, name: &str) -> wasmtime::Result<&'v str> {
    match &field(filter, &[name])?.kind {
        Some(Kind::EnumValue(case)) => Ok(&case.name),
        _ => wasmtime::bail!("the field {name} is no enum"),
    }
}
