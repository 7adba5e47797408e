use kiln_proto::{
    ids::{IdempotencyKey, OplogIndex, WorkerId},
    v1::InvocationContext,
};
use uuid::Uuid;

/// Namespace of ids that follow from an invocation. Part of the format: spans are exported under them.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b0c_1d66_7f0e_4c55_9a3b_06c1_7a5e_21d4);

/// 32 hexadecimal digits.
pub(super) fn trace_id(worker: &WorkerId, key: &IdempotencyKey) -> String {
    derive("trace", worker, key).simple().to_string()
}

/// 16 hexadecimal digits.
pub(super) fn span_id(worker: &WorkerId, key: &IdempotencyKey) -> String {
    let (high, _) = derive("span", worker, key).as_u64_pair();
    format!("{high:016x}")
}

fn derive(what: &str, worker: &WorkerId, key: &IdempotencyKey) -> Uuid {
    let name = format!("{what}\n{}\n{}", worker.urn(), key.as_str());
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The trace and the span of an invocation: 32 and 16 hexadecimal digits.
pub(crate) fn invocation_span(
    worker: &WorkerId,
    key: &IdempotencyKey,
    given: Option<&InvocationContext>,
) -> (String, String) {
    let trace = given
        .map(|context| context.trace_id.clone())
        .filter(|id| !id.is_empty());
    (
        trace.unwrap_or_else(|| trace_id(worker, key)),
        span_id(worker, key),
    )
}

/// The span of a call to the world, by the entry that records it: 16 hexadecimal digits.
pub(crate) fn call_span_id(worker: &WorkerId, index: OplogIndex) -> String {
    let name = format!("call\n{}\n{}", worker.urn(), index.0);
    let (high, _) = Uuid::new_v5(&NAMESPACE, name.as_bytes()).as_u64_pair();
    format!("{high:016x}")
}
