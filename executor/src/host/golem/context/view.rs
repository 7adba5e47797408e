use kiln_proto::v1::{FieldValue, Value};
use wasmtime::component::Resource;

use super::{attribute, text};
use crate::host::{
    HostState,
    dynamic::{Arguments, Interface, ResourceKind, handle},
    spans::SpanAt,
};

const CONTEXT: ResourceKind = ResourceKind::of::<Context>(12);

pub(super) fn add(interface: Interface) -> Interface {
    interface
        .resource(&["invocation-context"], CONTEXT)
        .function(&["current-context"], |state, _| {
            Box::pin(async {
                let current = state.spans().current();
                push(state, current).map(Some)
            })
        })
        .function(&["[method]invocation-context.trace-id"], |state, _| {
            Box::pin(async { Ok(Some(state.spans().trace_id().into())) })
        })
        .function(&["[method]invocation-context.span-id"], |state, arguments| {
            Box::pin(async {
                on_span(state, arguments, |state, span, _| {
                    Ok(state.spans().id(span).into())
                })
            })
        })
        .function(&["[method]invocation-context.parent"], |state, arguments| {
            Box::pin(async { on_span(state, arguments, parent) })
        })
        .function(
            &["[method]invocation-context.get-attribute"],
            |state, arguments| Box::pin(async { on_span(state, arguments, get_attribute) }),
        )
        .function(
            &["[method]invocation-context.get-attributes"],
            |state, arguments| Box::pin(async { on_span(state, arguments, get_attributes) }),
        )
        .function(
            &["[method]invocation-context.get-attribute-chain"],
            |state, arguments| Box::pin(async { on_span(state, arguments, get_chain) }),
        )
        .function(
            &["[method]invocation-context.get-attribute-chains"],
            |state, arguments| Box::pin(async { on_span(state, arguments, get_chains) }),
        )
        .function(
            &["[method]invocation-context.trace-context-headers"],
            |state, arguments| Box::pin(async { on_span(state, arguments, headers) }),
        )
}

/// The context as of the moment when a guest asked for it: spans that start later are not seen from there.
struct Context {
    span: SpanAt,
    id: String,
}

fn push(state: &mut HostState, span: SpanAt) -> wasmtime::Result<Value> {
    let id = state.spans().id(span).to_owned();
    Ok(handle(state.table.push(Context { span, id })?.rep()))
}

fn on_span(
    state: &mut HostState,
    mut arguments: Arguments,
    answer: impl FnOnce(&mut HostState, SpanAt, &mut Arguments) -> wasmtime::Result<Value>,
) -> wasmtime::Result<Option<Value>> {
    let rep = arguments.resource()?;
    let context = state.table.get(&Resource::<Context>::new_borrow(rep))?;
    let (span, id) = (context.span, context.id.clone());
    if !state.spans().has(span, &id) {
        wasmtime::bail!("the context belongs to an earlier invocation");
    }
    answer(state, span, &mut arguments).map(Some)
}

fn parent(state: &mut HostState, span: SpanAt, _: &mut Arguments) -> wasmtime::Result<Value> {
    let parent = state.spans().parent(span);
    let parent = parent.map(|parent| push(state, parent)).transpose()?;
    Ok(parent.into())
}

fn get_attribute(state: &mut HostState, span: SpanAt, arguments: &mut Arguments) -> wasmtime::Result<Value> {
    let (key, inherited) = (arguments.string()?, arguments.bool()?);
    Ok(state.spans().attribute(span, &key, inherited).map(text).into())
}

fn get_attributes(state: &mut HostState, span: SpanAt, arguments: &mut Arguments) -> wasmtime::Result<Value> {
    let inherited = arguments.bool()?;
    let attributes = state.spans().attributes(span, inherited);
    Ok(attributes
        .into_iter()
        .map(|(key, value)| attribute(key, value))
        .collect())
}

fn get_chain(state: &mut HostState, span: SpanAt, arguments: &mut Arguments) -> wasmtime::Result<Value> {
    let key = arguments.string()?;
    Ok(state.spans().chain(span, &key).map(text).collect())
}

fn get_chains(state: &mut HostState, span: SpanAt, _: &mut Arguments) -> wasmtime::Result<Value> {
    let chain = |(key, values): (&str, Vec<&str>)| {
        Value::record(vec![
            FieldValue::of("key", key),
            FieldValue::of("values", values.into_iter().map(text).collect::<Value>()),
        ])
    };
    Ok(state.spans().chains(span).into_iter().map(chain).collect())
}

fn headers(state: &mut HostState, span: SpanAt, _: &mut Arguments) -> wasmtime::Result<Value> {
    let header = |(name, value): (String, String)| Value::tuple(vec![name.into(), value.into()]);
    Ok(state.spans().headers(span).into_iter().map(header).collect())
}
