//! The spans that a callee inherits (semantics.md §13), and what the oplog tells of them.

use kiln_proto::{
    ids::WorkerId,
    v1::{
        ImportedFunctionInvokedEntry, InvocationContext, KeyValue, Payload, Span, SpanStack, Value,
        payload::Payload as Held,
    },
};
use uuid::Uuid;

use super::{call, call::Asked, future, invoke, schedule};
use crate::host::{
    HostState,
    golem::shapes::{field, text_field, uuid_of, worker_id_of},
};

/// One span for the connection; within it one for the call.
pub(crate) const CONNECTION_SPAN: &str = "rpc-connection";
/// See [`CONNECTION_SPAN`].
pub(crate) const CALL_SPAN: &str = "rpc-invocation";

/// The caller's spans, inside them one for the connection, and inside that one for the call. Their ids follow from the
/// call's key, so that nothing has to be recorded for them.
pub(super) fn handed_on(state: &mut HostState, asked: &Asked, key: Uuid) -> InvocationContext {
    let start_ns = state.journal.now_ns();
    let mut context = state.spans().handed_on();
    if context.stacks.is_empty() {
        context.stacks.push(SpanStack::default());
    }
    let Some(stack) = context.stacks.first_mut() else {
        return context;
    };
    let levels = [
        (CONNECTION_SPAN, vec![("target_worker_id", asked.worker.urn())]),
        (
            CALL_SPAN,
            vec![
                ("function_name", asked.function.clone()),
                ("idempotency_key", key.to_string()),
            ],
        ),
    ];
    for (name, attributes) in levels {
        let parent = stack.spans.first().map(|span| span.span_id.clone());
        let named = std::iter::once(("name", name.to_owned())).chain(attributes);
        let pair = |(key, value): (&str, String)| KeyValue {
            key: key.to_owned(),
            value,
        };
        // Innermost first.
        stack.spans.insert(
            0,
            Span {
                span_id: rpc_span_id(key, name),
                start_ns,
                parent,
                attributes: named.map(pair).collect(),
                inherited: true,
                ..Span::default()
            },
        );
    }
    context
}

/// 16 hexadecimal digits; `name` is that of the span.
pub(crate) fn rpc_span_id(key: Uuid, name: &str) -> String {
    let (high, _) = Uuid::new_v5(&key, name.as_bytes()).as_u64_pair();
    format!("{high:016x}")
}

/// What a recorded host call says of a call of another worker.
pub(crate) enum RpcStep {
    /// A call begins, under this key.
    Begun(Uuid),
    /// Something has come of a call: of that with this key, or of the one that began last.
    Told {
        key: Option<Uuid>,
        worker: WorkerId,
        function: String,
    },
}

impl RpcStep {
    /// Reads what the functions of this module record.
    pub(crate) fn of(entry: &ImportedFunctionInvokedEntry) -> Option<Self> {
        match entry.function_name.as_str() {
            call::KEY => Some(Self::Begun(uuid_of(held(entry.response.as_ref())?).ok()?)),
            invoke::RESULT | invoke::INVOKE => Self::told(None, held(entry.request.as_ref())?),
            schedule::SCHEDULE => Self::told(None, field(held(entry.request.as_ref())?, &["call"]).ok()?),
            future::GET => {
                let request = held(entry.request.as_ref())?;
                let key = uuid_of(field(request, &["idempotency-key"]).ok()?).ok();
                Self::told(key, field(request, &["call"]).ok()?)
            }
            _ => None,
        }
    }

    fn told(key: Option<Uuid>, call: &Value) -> Option<Self> {
        Some(Self::Told {
            key,
            worker: worker_id_of(field(call, &["worker-id"]).ok()?).ok()?,
            function: text_field(call, &["function-name"]).ok()?,
        })
    }
}

fn held(payload: Option<&Payload>) -> Option<&Value> {
    match payload?.payload.as_ref()? {
        Held::Value(value) => Some(value),
        Held::Raw(_) => None,
    }
}
