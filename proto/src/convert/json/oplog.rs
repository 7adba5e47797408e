//! Oplog entries with the kebab-case names of the guest's own `golem:api/oplog`.

use serde_json::{Map, Value as Json, json};

use super::value;
use crate::{
    convert::{
        oplog::{Form, fields, kind_name},
        rfc3339,
    },
    ids::ComponentId,
    v1::{FieldValue, IndexedOplogEntry, KeyValue, Value},
};

/// An entry as `worker oplog` shows it: `{"index", "type", "timestamp", …}`.
#[must_use]
pub fn entry(indexed: &IndexedOplogEntry) -> Json {
    let timestamp_ns = indexed.entry.as_ref().map_or(0, |entry| entry.timestamp_ns);
    let entry = indexed.entry.as_ref().and_then(|entry| entry.entry.as_ref());
    let mut object = Map::new();
    object.insert("index".into(), indexed.index.into());
    object.insert("type".into(), entry.map_or("unknown", kind_name).into());
    object.insert("timestamp".into(), rfc3339(timestamp_ns).into());
    let fields = entry.map(|entry| fields(entry, &JsonForm)).unwrap_or_default();
    object.extend(
        fields
            .into_iter()
            .map(|field| (field.name, value::optional(field.value.as_ref()))),
    );
    json!(object)
}

/// Times and ids as text, names with values as an object, the guest's own values as they are.
struct JsonForm;

impl Form for JsonForm {
    fn time(&self, ns: u64) -> Value {
        rfc3339(ns).into()
    }

    fn component_id(&self, id: ComponentId) -> Value {
        id.to_string().into()
    }

    fn pairs(&self, pairs: &[KeyValue]) -> Value {
        let field = |pair: &KeyValue| FieldValue::of(&pair.key, &pair.value);
        Value::record(pairs.iter().map(field).collect())
    }

    fn embedded(&self, value: Option<&Value>) -> Value {
        value.cloned().unwrap_or_default()
    }

    fn owner(&self) -> Vec<FieldValue> {
        Vec::new()
    }
}
