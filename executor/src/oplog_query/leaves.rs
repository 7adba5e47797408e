//! The texts of an entry, each with the names of the fields that lead to it.

use std::borrow::Cow;

use kiln_proto::{
    convert::oplog::{Form, fields},
    ids::ComponentId,
    v1::{FieldValue, KeyValue, Value, oplog_entry::Entry, value::Kind},
};

/// A text inside an entry.
pub(super) struct Leaf {
    pub(super) path: Vec<String>,
    pub(super) text: String,
}

/// Names of the host calls by which guests read oplogs.
const READING: &str = "golem::api::oplog::";

/// Fields of an entry that keep its books: found by their names, but not by a text alone.
const BOOKKEEPING: [&str; 11] = [
    "begin-index",
    "component-size",
    "consumed-fuel",
    "delta",
    "end",
    "initial-total-linear-memory-size",
    "new-component-size",
    "resource-id",
    "retry-from",
    "retry-policy",
    "start",
];

impl Leaf {
    pub(super) fn is_bookkeeping(&self) -> bool {
        self.path
            .first()
            .is_some_and(|field| BOOKKEEPING.contains(&field.as_str()))
    }
}

/// All texts of an entry.
pub(super) fn leaves(entry: &Entry) -> Vec<Leaf> {
    let mut found = Vec::new();
    let mut path = Vec::new();
    let mut fields = fields(entry, &PlainForm);
    // What a search has found is not found once more in what is recorded of that search.
    if matches!(entry, Entry::ImportedFunctionInvoked(call) if call.function_name.starts_with(READING)) {
        fields.retain(|field| field.name == "function-name");
    }
    gather_fields(&fields, &mut path, &mut found);
    found
}

fn gather_fields(fields: &[FieldValue], path: &mut Vec<String>, found: &mut Vec<Leaf>) {
    for field in fields {
        path.push(field.name.clone());
        gather(field.value.as_ref(), path, found);
        path.pop();
    }
}

fn gather(value: Option<&Value>, path: &mut Vec<String>, found: &mut Vec<Leaf>) {
    let Some(kind) = value.and_then(|value| value.kind.as_ref()) else {
        return;
    };
    let mut add = |text: Cow<'_, str>| {
        found.push(Leaf {
            path: path.clone(),
            text: text.into_owned(),
        });
    };
    match kind {
        Kind::BoolValue(flag) => add(flag.to_string().into()),
        Kind::U8Value(n) | Kind::U16Value(n) | Kind::U32Value(n) => add(n.to_string().into()),
        Kind::U64Value(n) => add(n.to_string().into()),
        Kind::S8Value(n) | Kind::S16Value(n) | Kind::S32Value(n) => add(n.to_string().into()),
        Kind::S64Value(n) => add(n.to_string().into()),
        Kind::F32Value(n) => add(n.to_string().into()),
        Kind::F64Value(n) => add(n.to_string().into()),
        Kind::CharValue(code) => add(char::from_u32(*code).unwrap_or_default().to_string().into()),
        Kind::StringValue(text) => add(text.into()),
        Kind::ByteList(bytes) => {
            // Text that a guest keeps as bytes is found, too.
            if let Ok(text) = std::str::from_utf8(bytes) {
                add(text.into());
            }
        }
        Kind::EnumValue(case) => add(case.name.as_str().into()),
        Kind::Flags(flags) => flags.set.iter().for_each(|name| add(name.into())),
        Kind::Handle(handle) => add(handle.uri.as_str().into()),
        Kind::List(list) | Kind::Tuple(list) => {
            list.values
                .iter()
                .for_each(|value| gather(Some(value), path, found));
        }
        Kind::Record(record) => gather_fields(&record.fields, path, found),
        Kind::Variant(variant) => {
            if let Some(case) = &variant.case {
                add(case.name.as_str().into());
            }
            gather(variant.payload.as_deref(), path, found);
        }
        Kind::Option(option) => gather(option.value.as_deref(), path, found),
        Kind::Result(result) => gather(result.payload.as_deref(), path, found),
    }
}

/// Everything as text; times, which nobody searches for as text, not at all.
struct PlainForm;

impl Form for PlainForm {
    fn time(&self, _: u64) -> Value {
        Value::default()
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
