//! Makes component values out of Rust's own types: `From` for what stands for itself, named constructors for the rest.

use bytes::Bytes;

use crate::v1::{
    CaseName, FieldValue, OptionValue, RecordValue, ResultValue, Value, ValueList, VariantValue, value::Kind,
};

impl From<Kind> for Value {
    fn from(kind: Kind) -> Self {
        Self { kind: Some(kind) }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Kind::BoolValue(flag).into()
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Kind::U32Value(number).into()
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Kind::U64Value(number).into()
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Kind::S64Value(number).into()
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Kind::F64Value(number).into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Kind::StringValue(text.to_owned()).into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Kind::StringValue(text).into()
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Kind::ByteList(bytes).into()
    }
}

/// A present or absent value.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        Kind::Option(Box::new(OptionValue {
            value: option.map(|value| Box::new(value.into())),
        }))
        .into()
    }
}

/// A list.
impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let values = items.into_iter().map(Into::into).collect();
        Kind::List(ValueList { values }).into()
    }
}

impl Value {
    /// Makes a record with its fields in the order given.
    #[must_use]
    pub fn record(fields: Vec<FieldValue>) -> Self {
        Kind::Record(RecordValue { fields }).into()
    }

    /// Makes a tuple.
    #[must_use]
    pub fn tuple(values: Vec<Self>) -> Self {
        Kind::Tuple(ValueList { values }).into()
    }

    /// Makes a case of a variant. Its position is 0: whoever converts the value to a type looks for the name.
    #[must_use]
    pub fn variant(name: &str, payload: Option<Self>) -> Self {
        Self::variant_at(name, 0, payload)
    }

    /// Makes a case of a variant at a known position.
    #[must_use]
    pub fn variant_at(name: &str, index: u32, payload: Option<Self>) -> Self {
        Kind::Variant(Box::new(VariantValue {
            case: Some(CaseName {
                name: name.to_owned(),
                index,
            }),
            payload: payload.map(Box::new),
        }))
        .into()
    }

    /// Makes a case of an enum. Its position is 0: whoever converts the value to a type looks for the name.
    #[must_use]
    pub fn enum_case(name: &str) -> Self {
        Kind::EnumValue(CaseName {
            name: name.to_owned(),
            index: 0,
        })
        .into()
    }

    /// Makes a `result`.
    #[must_use]
    pub fn result(outcome: Result<Option<Self>, Option<Self>>) -> Self {
        let is_error = outcome.is_err();
        let (Ok(payload) | Err(payload)) = outcome;
        Kind::Result(Box::new(ResultValue {
            is_error,
            payload: payload.map(Box::new),
        }))
        .into()
    }
}

impl FieldValue {
    /// Names a value.
    #[must_use]
    pub fn of(name: &str, value: impl Into<Value>) -> Self {
        Self {
            name: name.to_owned(),
            value: Some(value.into()),
        }
    }
}
