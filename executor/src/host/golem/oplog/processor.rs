//! What a component that processes oplogs is called with (`golem:api/oplog-processor`).

use kiln_proto::{
    ids::{OplogIndex, WorkerId},
    v1::{FieldValue, OplogEntry, Value, WorkerRecord, value::Kind},
};

use super::form;
use crate::host::{
    dynamic::{Unfit, conform},
    golem::{host::metadata_of, shapes},
    value::{Field, Param, Signature, Type},
};

/// Entries of one worker that follow each other.
pub(crate) struct Batch<'a> {
    pub(crate) source: &'a WorkerId,
    pub(crate) record: &'a WorkerRecord,
    pub(crate) first: OplogIndex,
    pub(crate) entries: &'a [(OplogIndex, OplogEntry)],
}

/// The arguments of the constructor that versions before 1.1.7 have, in the shape that the component declares.
///
/// # Errors
/// When that is another one than the contract's.
pub(crate) fn processor_introduction(signature: &Signature, source: &WorkerId) -> Result<Vec<Value>, Unfit> {
    in_shape(signature, introduction(source))
}

/// The arguments of `process`, in the shape that the component declares. Versions before 1.1.7 have it as a method of
/// `processor`.
///
/// # Errors
/// As [`processor_introduction`].
pub(crate) fn processor_arguments(
    signature: &Signature,
    processor: Option<Value>,
    batch: &Batch<'_>,
) -> Result<Vec<Value>, Unfit> {
    let mut given = introduction(batch.source);
    given.extend(processor.map(|processor| FieldValue::of("self", processor)));
    let entries: Value = batch
        .entries
        .iter()
        .map(|(_, entry)| form::entry(entry))
        .collect();
    given.extend([
        FieldValue::of("worker-id", shapes::worker_id(batch.source)),
        FieldValue::of("metadata", metadata_of(batch.source, batch.record)),
        FieldValue::of("first-entry-index", batch.first.0),
        FieldValue::of("entries", entries),
    ]);
    in_shape(signature, given)
}

/// What is the same for all entries of a worker. The whole cluster is one account, and nothing configures a processor.
fn introduction(source: &WorkerId) -> Vec<FieldValue> {
    let account = Value::record(vec![FieldValue::of("value", form::ACCOUNT)]);
    let info = Value::record(vec![FieldValue::of("account-id", account)]);
    let config: Value = std::iter::empty::<Value>().collect();
    vec![
        FieldValue::of("account-info", info),
        FieldValue::of("config", config),
        FieldValue::of("component-id", shapes::component_id(source.component)),
    ]
}

/// Parameters are found by their names, as fields of a record are.
fn in_shape(signature: &Signature, given: Vec<FieldValue>) -> Result<Vec<Value>, Unfit> {
    let field = |param: &Param| Field {
        name: param.name.clone(),
        ty: param.ty.clone(),
    };
    let declared = Type::Record(signature.params.iter().map(field).collect());
    let shaped = conform(Value::record(given), &declared)?;
    let Some(Kind::Record(arguments)) = shaped.kind else {
        return Ok(Vec::new());
    };
    Ok(arguments
        .fields
        .into_iter()
        .filter_map(|field| field.value)
        .collect())
}
