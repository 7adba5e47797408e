//! What a component that processes oplogs is called with (`golem:api/oplog-processor`).

use kiln_proto::{
    ids::{OplogIndex, WorkerId},
    v1::{FieldValue, OplogEntry, Value, WorkerRecord},
};

use super::form;
use crate::host::{
    dynamic::{Unfit, conform},
    golem::{host::metadata_of, shapes},
    value::Signature,
};

/// The arguments of `process`, in the shape that the component declares.
///
/// # Errors
/// When that is another one than the contract's.
pub(crate) fn processor_arguments(
    signature: &Signature,
    source: &WorkerId,
    record: &WorkerRecord,
    first: OplogIndex,
    entries: &[(OplogIndex, OplogEntry)],
) -> Result<Vec<Value>, Unfit> {
    // The whole cluster is one account.
    let account = Value::record(vec![FieldValue::of("value", form::ACCOUNT)]);
    let given = [
        Value::record(vec![FieldValue::of("account-id", account)]),
        std::iter::empty::<Value>().collect(),
        shapes::component_id(source.component),
        shapes::worker_id(source),
        metadata_of(source, record),
        first.0.into(),
        entries.iter().map(|(_, entry)| form::entry(entry)).collect(),
    ];
    if signature.params.len() != given.len() {
        return Err(Unfit::parameters(signature));
    }
    let declared = signature.params.iter();
    given
        .into_iter()
        .zip(declared)
        .map(|(value, param)| conform(value, &param.ty))
        .collect()
}
