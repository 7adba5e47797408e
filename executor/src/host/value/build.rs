//! Makes values that fit their type, out of parts that came as text.

use kiln_proto::v1::{
    CaseName, FlagsValue, HandleValue, OptionValue, ResultValue, Value, ValueList, VariantValue, value::Kind,
};

use super::{Case, Type};

pub(super) fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

/// An integer of type `ty`, or `None` when it is out of range or `ty` is no integer.
pub(super) fn integer(ty: &Type, number: i128) -> Option<Value> {
    Some(value(match ty {
        Type::U8 => Kind::U8Value(u8::try_from(number).ok()?.into()),
        Type::U16 => Kind::U16Value(u16::try_from(number).ok()?.into()),
        Type::U32 => Kind::U32Value(number.try_into().ok()?),
        Type::U64 => Kind::U64Value(number.try_into().ok()?),
        Type::S8 => Kind::S8Value(i8::try_from(number).ok()?.into()),
        Type::S16 => Kind::S16Value(i16::try_from(number).ok()?.into()),
        Type::S32 => Kind::S32Value(number.try_into().ok()?),
        Type::S64 => Kind::S64Value(number.try_into().ok()?),
        _ => return None,
    }))
}

/// The range of an integer type, for error messages.
pub(super) fn range(ty: &Type) -> &'static str {
    match ty {
        Type::U8 => "u8 (0 to 255)",
        Type::U16 => "u16 (0 to 65535)",
        Type::U32 => "u32 (0 to 4294967295)",
        Type::U64 => "u64 (0 to 18446744073709551615)",
        Type::S8 => "s8 (-128 to 127)",
        Type::S16 => "s16 (-32768 to 32767)",
        Type::S32 => "s32 (-2147483648 to 2147483647)",
        _ => "s64 (-9223372036854775808 to 9223372036854775807)",
    }
}

/// A list; of bytes in the compact form.
pub(super) fn list(element: &Type, values: Vec<Value>) -> Value {
    if *element != Type::U8 {
        return value(Kind::List(ValueList { values }));
    }
    let byte = |value: &Value| match value.kind {
        Some(Kind::U8Value(byte)) => byte.try_into().unwrap_or(u8::MAX),
        _ => 0,
    };
    value(Kind::ByteList(values.iter().map(byte).collect()))
}

/// A name with its position, if it is among `names`.
pub(super) fn case_name<'a>(names: impl IntoIterator<Item = &'a str>, name: &str) -> Option<CaseName> {
    let index = names.into_iter().position(|known| known == name)?;
    Some(CaseName {
        name: name.to_owned(),
        index: u32::try_from(index).ok()?,
    })
}

pub(super) fn find_case<'a>(cases: &'a [Case], name: &str) -> Option<&'a Case> {
    cases.iter().find(|case| &*case.name == name)
}

pub(super) fn variant(cases: &[Case], name: &str, payload: Option<Value>) -> Option<Value> {
    let case = case_name(cases.iter().map(|case| &*case.name), name)?;
    Some(value(Kind::Variant(Box::new(VariantValue {
        case: Some(case),
        payload: payload.map(Box::new),
    }))))
}

pub(super) fn option(some: Option<Value>) -> Value {
    value(Kind::Option(Box::new(OptionValue {
        value: some.map(Box::new),
    })))
}

pub(super) fn result(is_error: bool, payload: Option<Value>) -> Value {
    value(Kind::Result(Box::new(ResultValue {
        is_error,
        payload: payload.map(Box::new),
    })))
}

/// Flags in declaration order. Every name in `set` is declared.
pub(super) fn flags(declared: &[Box<str>], set: &[&str]) -> Value {
    let chosen = declared
        .iter()
        .enumerate()
        .filter(|(_, name)| set.contains(&&***name));
    let mut flags = FlagsValue {
        declared: u32::try_from(declared.len()).unwrap_or(u32::MAX),
        ..Default::default()
    };
    for (at, name) in chosen {
        flags.set.push(name.to_string());
        flags.indices.push(u32::try_from(at).unwrap_or(u32::MAX));
    }
    value(Kind::Flags(flags))
}

/// A handle from `urn:worker:<component>/<name>/<id>`.
pub(super) fn handle(text: &str) -> Option<Value> {
    let (uri, id) = text.rsplit_once('/')?;
    let id = id.parse().ok()?;
    is_worker_uri(uri).then(|| {
        value(Kind::Handle(HandleValue {
            uri: uri.to_owned(),
            id,
        }))
    })
}

pub(super) fn is_worker_uri(uri: &str) -> bool {
    uri.strip_prefix("urn:worker:")
        .is_some_and(|rest| rest.contains('/'))
}

/// What to write for a handle.
pub(super) const HANDLE_FORM: &str = "a resource handle, as \"urn:worker:<component>/<worker>/<id>\"";

/// The names of an enum, variant or flags, for error messages.
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    format!("one of {}", names.join(", "))
}
