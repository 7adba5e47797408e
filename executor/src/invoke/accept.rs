//! What is checked before an invocation is accepted, so that a wrong request leaves no trace.

use kiln_proto::{
    Error,
    ids::IdempotencyKey,
    v1::{
        self, ExportedFunctionInvokedEntry, InvocationContext, PendingWorkerInvocationEntry, Span, SpanStack,
        invoke_request::Arguments, oplog_entry::Entry, pending_worker_invocation_entry::Invocation,
    },
};

use crate::{
    component::{FunctionRef, LoadedComponent, UnknownFunction},
    host::value::{Signature, check_arguments, parse_json, parse_wave, wit::arguments_from_wit},
};

/// An invocation whose function exists and whose arguments fit.
pub(crate) struct Input {
    pub(crate) function: FunctionRef,
    pub(crate) arguments: Vec<v1::Value>,
    pub(crate) context: Option<InvocationContext>,
}

/// Finds the function and checks the arguments against its signature.
///
/// # Errors
/// `NOT_FOUND` without such a function; `INVALID` for arguments, with the place and the expected type.
pub(crate) fn check(component: &LoadedComponent, request: &v1::InvokeRequest) -> Result<Input, Error> {
    let by_guest = matches!(request.arguments, Some(Arguments::Flat(_)));
    let function = component.function(&request.function).map_err(|unknown| {
        no_function(&unknown, by_guest).with_hint("`kiln component get NAME` lists the functions")
    })?;
    let arguments = arguments(&function.signature, request.arguments.as_ref())
        .map_err(|error| error.with_hint(format!("{}: {}", function.full_name, function.signature)))?;
    Ok(Input {
        function,
        arguments,
        context: request
            .context
            .clone()
            .or_else(|| request.trace_context.as_ref().and_then(incoming_context)),
    })
}

/// A guest is told apart whether there is no such worker or no such function: the latter is a mistake in its request.
fn no_function(unknown: &UnknownFunction, by_guest: bool) -> Error {
    match unknown {
        UnknownFunction::NotFound { .. } if !by_guest => Error::not_found(unknown.to_string()),
        _ => Error::invalid(unknown.to_string()),
    }
}

/// A recorded invocation, whose arguments were checked when it was accepted.
///
/// # Errors
/// `INVALID` when the component has no such function any more.
pub(crate) fn restore(
    component: &LoadedComponent,
    entry: ExportedFunctionInvokedEntry,
) -> Result<Input, Error> {
    let function = component
        .function(&entry.function_name)
        .map_err(|error| Error::invalid(error.to_string()))?;
    Ok(Input {
        function,
        arguments: entry.request,
        context: entry.context,
    })
}

impl Input {
    /// The entry that says: accepted, to be run in its turn.
    pub(crate) fn pending_entry(&self, key: &IdempotencyKey) -> Entry {
        Entry::PendingWorkerInvocation(PendingWorkerInvocationEntry {
            invocation: Some(Invocation::ExportedFunction(self.entry(key))),
        })
    }

    /// The entry that says: begun.
    pub(crate) fn invoked_entry(&self, key: &IdempotencyKey) -> Entry {
        Entry::ExportedFunctionInvoked(self.entry(key))
    }

    fn entry(&self, key: &IdempotencyKey) -> ExportedFunctionInvokedEntry {
        ExportedFunctionInvokedEntry {
            function_name: self.function.full_name.clone(),
            request: self.arguments.clone(),
            idempotency_key: key.as_str().to_owned(),
            context: self.context.clone(),
        }
    }
}

fn arguments(signature: &Signature, given: Option<&Arguments>) -> Result<Vec<v1::Value>, Error> {
    let checked = match given {
        Some(Arguments::Typed(list)) => check_arguments(signature, list.values.clone()),
        Some(Arguments::Wave(texts)) => parse_wave(signature, &texts.values),
        Some(Arguments::Json(text)) => parse_json(signature, text),
        Some(Arguments::Flat(list)) => arguments_from_wit(signature, &list.values),
        None => check_arguments(signature, Vec::new()),
    };
    checked.map_err(|error| Error::invalid(error.to_string()))
}

/// Reads a W3C `traceparent`; one that does not parse is dropped, as the specification asks.
fn incoming_context(trace: &v1::TraceContext) -> Option<InvocationContext> {
    let mut parts = trace.traceparent.split('-');
    let (_version, trace_id, span_id) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex(trace_id, 32) || !is_hex(span_id, 16) {
        return None;
    }
    let caller = Span {
        span_id: span_id.to_owned(),
        external: true,
        ..Span::default()
    };
    let states = trace
        .tracestate
        .split(',')
        .map(str::trim)
        .filter(|state| !state.is_empty());
    Some(InvocationContext {
        trace_id: trace_id.to_owned(),
        trace_states: states.map(str::to_owned).collect(),
        stacks: vec![SpanStack { spans: vec![caller] }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_trace_parent_is_dropped() {
        let trace = |traceparent: &str| v1::TraceContext {
            traceparent: traceparent.into(),
            tracestate: "a=1, b=2".into(),
        };
        assert!(incoming_context(&trace("00-xyz-1-00")).is_none());
        let context = incoming_context(&trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
            .expect("well-formed");
        assert_eq!(context.trace_states, ["a=1", "b=2"]);
        assert_eq!(context.stacks[0].spans[0].span_id, "b7ad6b7169203331");
    }
}
