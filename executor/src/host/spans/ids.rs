use kiln_proto::ids::{IdempotencyKey, WorkerId};
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
