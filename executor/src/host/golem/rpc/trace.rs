//! The spans that a callee inherits (semantics.md §13).

use kiln_proto::v1::{InvocationContext, KeyValue, Span, SpanStack};
use uuid::Uuid;

use super::call::Asked;
use crate::host::HostState;

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
        ("rpc-connection", vec![("target_worker_id", asked.worker.urn())]),
        (
            "rpc-invocation",
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
                span_id: span_id(key, name),
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

/// 16 hexadecimal digits.
fn span_id(key: Uuid, name: &str) -> String {
    let (high, _) = Uuid::new_v5(&key, name.as_bytes()).as_u64_pair();
    format!("{high:016x}")
}
