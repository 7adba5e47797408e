use kiln_proto::v1::{
    FinishSpanEntry, KeyValue, SetSpanAttributeEntry, StartSpanEntry, Value, oplog_entry::Entry,
};
use wasmtime::component::Resource;

use super::{attribute_of, text_of};
use crate::{
    host::{
        HostState,
        dynamic::{Arguments, Interface, ResourceKind, handle},
        golem::oplog::datetime,
        spans::SpanAt,
    },
    replay::step::{self, StepError},
};

const SPAN: ResourceKind = ResourceKind::with_drop(11, drop_span);

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .resource(&["span"], SPAN)
        .function(&["start-span"], |state, arguments| {
            Box::pin(async { start(state, arguments) })
        })
        .function(&["[method]span.started-at"], |state, arguments| {
            Box::pin(async { started_at(state, arguments) })
        })
        .function(&["[method]span.set-attribute"], |state, arguments| {
            Box::pin(async { set_attribute(state, arguments) })
        })
        .function(&["[method]span.set-attributes"], |state, arguments| {
            Box::pin(async { set_attributes(state, arguments) })
        })
        .function(&["[method]span.finish"], |state, mut arguments| {
            Box::pin(async move {
                if let Some(span) = at(state, arguments.resource()?)? {
                    finish(state, span)?;
                }
                Ok(None)
            })
        })
}

/// A span in the guest's hands.
#[derive(Clone)]
struct Held {
    at: SpanAt,
    id: String,
    start_ns: u64,
}

fn held(state: &HostState, rep: u32) -> wasmtime::Result<Held> {
    Ok(state.table.get(&Resource::<Held>::new_borrow(rep))?.clone())
}

/// `None` for a span of an earlier invocation, which has ended with it.
fn at(state: &mut HostState, rep: u32) -> wasmtime::Result<Option<SpanAt>> {
    let held = held(state, rep)?;
    Ok(Some(held.at).filter(|at| state.spans().has(*at, &held.id)))
}

fn start(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let name = arguments.string()?;
    if !state.spans().has_room() {
        wasmtime::bail!("the invocation has started too many spans");
    }
    let attributes = vec![KeyValue {
        key: "name".to_owned(),
        value: name,
    }];
    let (entry, start_ns) = start_entry(state, attributes)?;
    let id = entry.span_id.clone();
    let at = state.spans().start(entry.span_id, entry.attributes, start_ns);
    let held = Held { at, id, start_ns };
    Ok(Some(handle(state.table.push(held)?.rep())))
}

/// The recorded entry, or a new one with a fresh id, and its time.
fn start_entry(state: &mut HostState, attributes: Vec<KeyValue>) -> wasmtime::Result<(StartSpanEntry, u64)> {
    state.record_logs();
    let current = state.spans().current();
    let parent = state.spans().id(current).to_owned();
    let entry = StartSpanEntry {
        span_id: format!("{:016x}", state.fresh_u64().max(1)),
        parent: Some(parent),
        linked_context: None,
        attributes,
    };
    if !state.is_recorded() {
        return Ok((entry, state.journal.now_ns()));
    }
    state.journal.pass_zone().map_err(StepError::from)?;
    if state.journal.is_live() {
        let (_, start_ns) = state.journal.append_timed(|_| Entry::StartSpan(entry.clone()));
        return Ok((entry, start_ns));
    }
    let recorded = state.journal.peek();
    step::expect(&state.journal, "start-span", |entry| {
        matches!(entry, Entry::StartSpan(_))
    })?;
    match recorded.map(|(_, entry)| (entry.timestamp_ns, entry.entry.clone())) {
        Some((start_ns, Some(Entry::StartSpan(entry)))) => Ok((entry, start_ns)),
        _ => wasmtime::bail!("the recorded span is no span"),
    }
}

fn started_at(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let held = held(state, arguments.resource()?)?;
    Ok(Some(datetime(held.start_ns)))
}

fn set_attribute(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let span = at(state, arguments.resource()?)?;
    let key = arguments.string()?;
    let value = text_of(&arguments.value()?)?;
    if let Some(span) = span {
        set(state, span, key, value)?;
    }
    Ok(None)
}

fn set_attributes(state: &mut HostState, mut arguments: Arguments) -> wasmtime::Result<Option<Value>> {
    let span = at(state, arguments.resource()?)?;
    for attribute in arguments.list()? {
        let (key, value) = attribute_of(&attribute)?;
        if let Some(span) = span {
            set(state, span, key, value)?;
        }
    }
    Ok(None)
}

fn set(state: &mut HostState, span: SpanAt, key: String, value: String) -> wasmtime::Result<()> {
    let span_id = state.spans().id(span).to_owned();
    state.spans().set_attribute(span, &key, &value);
    state.mark(
        "set-span-attribute",
        |entry| matches!(entry, Entry::SetSpanAttribute(_)),
        |_| Entry::SetSpanAttribute(SetSpanAttributeEntry { span_id, key, value }),
    )?;
    Ok(())
}

/// Harmless when the span has been finished.
fn finish(state: &mut HostState, span: SpanAt) -> wasmtime::Result<()> {
    if !state.spans().finish(span) {
        return Ok(());
    }
    let span_id = state.spans().id(span).to_owned();
    state.mark(
        "finish-span",
        |entry| matches!(entry, Entry::FinishSpan(_)),
        |_| Entry::FinishSpan(FinishSpanEntry { span_id }),
    )?;
    Ok(())
}

fn drop_span(state: &mut HostState, rep: u32) -> wasmtime::Result<()> {
    // A span that outlives its invocation was finished with it.
    if state.spans.is_some()
        && let Some(span) = at(state, rep)?
    {
        finish(state, span)?;
    }
    state.table.delete(Resource::<Held>::new_own(rep))?;
    Ok(())
}

/// The end of an invocation is the end of the spans that it has left open.
pub(in crate::host) fn finish_open_spans(state: &mut HostState) -> wasmtime::Result<()> {
    let open = state
        .spans
        .as_ref()
        .map(crate::host::spans::Spans::open)
        .unwrap_or_default();
    for span in open {
        finish(state, span)?;
    }
    state.spans = None;
    Ok(())
}
