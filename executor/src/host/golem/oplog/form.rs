use kiln_proto::{
    convert::oplog::{Form, fields, kind_name},
    ids::ComponentId,
    v1::{FieldValue, KeyValue, OplogEntry, Value},
};
use uuid::Uuid;

use crate::host::{golem::shapes, value::wit::value_to_wit};

const NS_PER_S: u64 = 1_000_000_000;
/// The whole cluster is one account, which has no name.
pub(super) const ACCOUNT: &str = "";

/// An entry as the guest contract's `oplog-entry`, with the fields of all versions.
pub(super) fn entry(entry: &OplogEntry) -> Value {
    let time = datetime(entry.timestamp_ns);
    let Some(kind) = &entry.entry else {
        return Value::variant("no-op", Some(time));
    };
    let fields = fields(kind, &GuestForm);
    if fields.is_empty() {
        return Value::variant(kind_name(kind), Some(time));
    }
    let timestamp = std::iter::once(FieldValue::of("timestamp", time));
    let record = Value::record(timestamp.chain(fields).collect());
    Value::variant(kind_name(kind), Some(record))
}

/// `wasi:clocks/wall-clock.datetime`
pub(in crate::host::golem) fn datetime(ns: u64) -> Value {
    Value::record(vec![
        FieldValue::of("seconds", ns / NS_PER_S),
        FieldValue::of("nanoseconds", u32::try_from(ns % NS_PER_S).unwrap_or(0)),
    ])
}

/// Records as the contract has them, and the guest's own values as `wit-value`.
struct GuestForm;

impl Form for GuestForm {
    fn time(&self, ns: u64) -> Value {
        datetime(ns)
    }

    fn component_id(&self, id: ComponentId) -> Value {
        shapes::component_id(id)
    }

    fn pairs(&self, pairs: &[KeyValue]) -> Value {
        let pair = |pair: &KeyValue| Value::tuple(vec![(&pair.key).into(), (&pair.value).into()]);
        pairs.iter().map(pair).collect()
    }

    /// What has no flat form, as what is absent, is an empty tuple.
    fn embedded(&self, value: Option<&Value>) -> Value {
        let nothing = Value::tuple(Vec::new());
        value_to_wit(value.unwrap_or(&nothing))
            .or_else(|_| value_to_wit(&nothing))
            .unwrap_or_default()
    }

    /// The whole cluster is one account and one project.
    fn owner(&self) -> Vec<FieldValue> {
        let account = Value::record(vec![FieldValue::of("value", ACCOUNT)]);
        let project = Value::record(vec![FieldValue::of("uuid", shapes::uuid(Uuid::nil()))]);
        vec![
            FieldValue::of("created-by", account),
            FieldValue::of("project-id", project),
        ]
    }
}
