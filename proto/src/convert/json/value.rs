use serde_json::{Map, Number, Value as Json, json};

use crate::v1::{ResultValue, Value, VariantValue, value::Kind};

/// A component value as JSON.
///
/// Floats that JSON cannot express are the strings `"nan"`, `"inf"` and `"-inf"`. A resource handle is an object with
/// its `uri` and `id`.
#[must_use]
pub fn value(value: &Value) -> Json {
    match &value.kind {
        None => Json::Null,
        Some(Kind::BoolValue(bool)) => (*bool).into(),
        Some(Kind::U8Value(number) | Kind::U16Value(number) | Kind::U32Value(number)) => (*number).into(),
        Some(Kind::U64Value(number)) => (*number).into(),
        Some(Kind::S8Value(number) | Kind::S16Value(number) | Kind::S32Value(number)) => (*number).into(),
        Some(Kind::S64Value(number)) => (*number).into(),
        Some(Kind::F32Value(number)) => single(*number),
        Some(Kind::F64Value(number)) => double(*number),
        Some(Kind::CharValue(code)) => crate::convert::char_of(*code).to_string().into(),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::List(list) | Kind::Tuple(list)) => list.values.iter().map(self::value).collect(),
        Some(Kind::ByteList(bytes)) => bytes.iter().copied().collect(),
        Some(Kind::Record(record)) => record
            .fields
            .iter()
            .map(|field| (field.name.clone(), optional(field.value.as_ref())))
            .collect::<Map<_, _>>()
            .into(),
        Some(Kind::Variant(variant)) => self::variant(variant),
        Some(Kind::EnumValue(case)) => case.name.as_str().into(),
        Some(Kind::Option(option)) => optional(option.value.as_deref()),
        Some(Kind::Result(result)) => self::result(result),
        Some(Kind::Flags(flags)) => flags.set.iter().map(String::as_str).collect(),
        Some(Kind::Handle(handle)) => json!({"uri": handle.uri, "id": handle.id}),
    }
}

/// A value that may be absent, as JSON or null.
pub(super) fn optional(value: Option<&Value>) -> Json {
    value.map_or(Json::Null, self::value)
}

fn variant(variant: &VariantValue) -> Json {
    let name = variant.case.as_ref().map_or("", |case| case.name.as_str());
    match variant.payload.as_deref() {
        None => name.into(),
        Some(payload) => json!({ name: value(payload) }),
    }
}

fn result(result: &ResultValue) -> Json {
    let name = if result.is_error { "error" } else { "ok" };
    json!({ name: optional(result.payload.as_deref()) })
}

/// Keeps the shortest text of a 32-bit float: 0.1, not 0.10000000149011612.
fn single(number: f32) -> Json {
    number
        .to_string()
        .parse()
        .map_or_else(|_| double(f64::from(number)), double)
}

fn double(number: f64) -> Json {
    if number.is_nan() {
        return "nan".into();
    }
    Number::from_f64(number).map_or_else(
        || if number > 0.0 { "inf".into() } else { "-inf".into() },
        Json::Number,
    )
}
