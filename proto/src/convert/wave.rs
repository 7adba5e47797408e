//! Values as WAVE text. Source of the form: the `wasm-wave` crate, whose parser reads all that is written here.

use std::fmt::{Display, Write};

use crate::v1::{CaseName, FlagsValue, RecordValue, ResultValue, Value, value::Kind};

/// Words that WAVE reads as literals unless they are escaped with `%`.
const KEYWORDS: [&str; 8] = ["true", "false", "some", "none", "ok", "err", "inf", "nan"];

/// A value as WAVE text, on one line.
///
/// Record fields that are `none` are left out, as WAVE allows. A resource handle, which WAVE cannot
/// express, becomes the string of its URI and number. A value of no kind becomes `none`.
#[must_use]
pub fn to_wave(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match &value.kind {
        None => out.push_str("none"),
        Some(Kind::BoolValue(bool)) => write_display(out, bool),
        Some(Kind::U8Value(number) | Kind::U16Value(number) | Kind::U32Value(number)) => {
            write_display(out, number);
        }
        Some(Kind::U64Value(number)) => write_display(out, number),
        Some(Kind::S8Value(number) | Kind::S16Value(number) | Kind::S32Value(number)) => {
            write_display(out, number);
        }
        Some(Kind::S64Value(number)) => write_display(out, number),
        Some(Kind::F32Value(number)) if number.is_nan() => out.push_str("nan"),
        Some(Kind::F64Value(number)) if number.is_nan() => out.push_str("nan"),
        Some(Kind::F32Value(number)) => write_display(out, number),
        Some(Kind::F64Value(number)) => write_display(out, number),
        Some(Kind::CharValue(code)) => {
            write_quoted(out, '\'', super::char_of(*code).encode_utf8(&mut [0; 4]));
        }
        Some(Kind::StringValue(text)) => write_quoted(out, '"', text),
        Some(Kind::List(list)) => write_sequence(out, ['[', ']'], &list.values, write_value),
        Some(Kind::ByteList(bytes)) => write_sequence(out, ['[', ']'], bytes, write_display),
        Some(Kind::Record(record)) => write_record(out, record),
        Some(Kind::Tuple(tuple)) => write_sequence(out, ['(', ')'], &tuple.values, write_value),
        Some(Kind::Variant(variant)) => {
            write_case(out, variant.case.as_ref());
            write_payload(out, variant.payload.as_deref());
        }
        Some(Kind::EnumValue(case)) => write_case(out, Some(case)),
        Some(Kind::Option(option)) => match option.value.as_deref() {
            None => out.push_str("none"),
            some => {
                out.push_str("some");
                write_payload(out, some);
            }
        },
        Some(Kind::Result(result)) => write_result(out, result),
        Some(Kind::Flags(flags)) => write_flags(out, flags),
        Some(Kind::Handle(handle)) => write_quoted(out, '"', &format!("{}/{}", handle.uri, handle.id)),
    }
}

fn write_record(out: &mut String, record: &RecordValue) {
    let present: Vec<_> = record
        .fields
        .iter()
        .filter(|field| !is_none(field.value.as_ref()))
        .collect();
    if present.is_empty() {
        // `{}` would be flags.
        return out.push_str("{:}");
    }
    write_sequence(out, ['{', '}'], present, |out, field| {
        out.push_str(&field.name);
        out.push_str(": ");
        if let Some(value) = &field.value {
            write_value(out, value);
        }
    });
}

fn is_none(value: Option<&Value>) -> bool {
    match value.and_then(|value| value.kind.as_ref()) {
        None => true,
        Some(Kind::Option(option)) => option.value.is_none(),
        Some(_) => false,
    }
}

fn write_result(out: &mut String, result: &ResultValue) {
    out.push_str(if result.is_error { "err" } else { "ok" });
    write_payload(out, result.payload.as_deref());
}

fn write_flags(out: &mut String, flags: &FlagsValue) {
    write_sequence(out, ['{', '}'], &flags.set, |out, name| out.push_str(name));
}

fn write_case(out: &mut String, case: Option<&CaseName>) {
    let name = case.map_or("", |case| case.name.as_str());
    if KEYWORDS.contains(&name) {
        out.push('%');
    }
    out.push_str(name);
}

fn write_payload(out: &mut String, payload: Option<&Value>) {
    if let Some(value) = payload {
        out.push('(');
        write_value(out, value);
        out.push(')');
    }
}

fn write_sequence<I: IntoIterator>(
    out: &mut String,
    [open, close]: [char; 2],
    items: I,
    write_item: impl Fn(&mut String, I::Item),
) {
    out.push(open);
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        write_item(out, item);
    }
    out.push(close);
}

fn write_quoted(out: &mut String, quote: char, text: &str) {
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' | '"' | '\'' | '\t' | '\r' | '\n' => out.extend(c.escape_default()),
            _ if c.is_control() => out.extend(c.escape_unicode()),
            _ => out.extend(c.escape_debug()),
        }
    }
    out.push(quote);
}

fn write_display(out: &mut String, item: impl Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{item}");
}
