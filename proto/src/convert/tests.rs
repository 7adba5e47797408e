//! One table for both text forms of values.

use serde_json::json;

use super::{json::value as to_json, to_wave};
use crate::v1::{
    CaseName, FieldValue, FlagsValue, HandleValue, OptionValue, RecordValue, ResultValue, Value, ValueList,
    VariantValue, value::Kind,
};

fn of(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn text(text: &str) -> Value {
    of(Kind::StringValue(text.into()))
}

fn list(values: Vec<Value>) -> ValueList {
    ValueList { values }
}

fn option(value: Option<Value>) -> Value {
    of(Kind::Option(Box::new(OptionValue {
        value: value.map(Box::new),
    })))
}

fn result(is_error: bool, payload: Option<Value>) -> Value {
    of(Kind::Result(Box::new(ResultValue {
        is_error,
        payload: payload.map(Box::new),
    })))
}

fn case(name: &str) -> CaseName {
    CaseName {
        name: name.into(),
        index: 0,
    }
}

fn variant(name: &str, payload: Option<Value>) -> Value {
    of(Kind::Variant(Box::new(VariantValue {
        case: Some(case(name)),
        payload: payload.map(Box::new),
    })))
}

fn record(fields: Vec<(&str, Value)>) -> Value {
    let fields = fields
        .into_iter()
        .map(|(name, value)| FieldValue {
            name: name.into(),
            value: Some(value),
        })
        .collect();
    of(Kind::Record(RecordValue { fields }))
}

fn flags(set: &[&str]) -> Value {
    let set = set.iter().map(ToString::to_string).collect();
    of(Kind::Flags(FlagsValue {
        set,
        indices: vec![],
        declared: 3,
    }))
}

#[test]
fn values_as_wave_and_json() {
    let handle = HandleValue {
        uri: "urn:worker:c/w".into(),
        id: 2,
    };
    let table = [
        (of(Kind::BoolValue(true)), "true", json!(true)),
        (of(Kind::U8Value(255)), "255", json!(255)),
        (
            of(Kind::U64Value(u64::MAX)),
            "18446744073709551615",
            json!(u64::MAX),
        ),
        (of(Kind::S8Value(-128)), "-128", json!(-128)),
        (
            of(Kind::S64Value(i64::MIN)),
            "-9223372036854775808",
            json!(i64::MIN),
        ),
        (of(Kind::F32Value(0.1)), "0.1", json!(0.1)),
        (of(Kind::F64Value(1.0)), "1", json!(1.0)),
        (of(Kind::F64Value(f64::NAN)), "nan", json!("nan")),
        (of(Kind::F32Value(f32::NEG_INFINITY)), "-inf", json!("-inf")),
        (of(Kind::F64Value(f64::INFINITY)), "inf", json!("inf")),
        (of(Kind::CharValue('\''.into())), r"'\''", json!("'")),
        (of(Kind::CharValue('☃'.into())), "'☃'", json!("☃")),
        (
            text("a\"b\n\u{1}\\"),
            r#""a\"b\n\u{1}\\""#,
            json!("a\"b\n\u{1}\\"),
        ),
        (
            of(Kind::List(list(vec![text("x"), text("y")]))),
            r#"["x", "y"]"#,
            json!(["x", "y"]),
        ),
        (of(Kind::List(list(vec![]))), "[]", json!([])),
        (of(Kind::ByteList(vec![1, 2].into())), "[1, 2]", json!([1, 2])),
        (
            of(Kind::Tuple(list(vec![text("x"), of(Kind::BoolValue(false))]))),
            r#"("x", false)"#,
            json!(["x", false]),
        ),
        (
            record(vec![
                ("a", of(Kind::U32Value(1))),
                ("b-c", option(None)),
                ("ok", text("")),
            ]),
            r#"{a: 1, ok: ""}"#,
            json!({"a": 1, "b-c": null, "ok": ""}),
        ),
        (record(vec![("a", option(None))]), "{:}", json!({"a": null})),
        (
            flags(&["read", "write"]),
            "{read, write}",
            json!(["read", "write"]),
        ),
        (flags(&[]), "{}", json!([])),
        (of(Kind::EnumValue(case("north"))), "north", json!("north")),
        (of(Kind::EnumValue(case("none"))), "%none", json!("none")),
        (
            variant("err", Some(text("x"))),
            r#"%err("x")"#,
            json!({"err": "x"}),
        ),
        (variant("empty", None), "empty", json!("empty")),
        (option(None), "none", json!(null)),
        (option(Some(option(None))), "some(none)", json!(null)),
        (option(Some(of(Kind::U8Value(1)))), "some(1)", json!(1)),
        (result(false, None), "ok", json!({"ok": null})),
        (
            result(false, Some(of(Kind::U8Value(1)))),
            "ok(1)",
            json!({"ok": 1}),
        ),
        (
            result(true, Some(text("no"))),
            r#"err("no")"#,
            json!({"error": "no"}),
        ),
        (
            of(Kind::Handle(handle)),
            r#""urn:worker:c/w/2""#,
            json!({"uri": "urn:worker:c/w", "id": 2}),
        ),
        (Value { kind: None }, "none", json!(null)),
    ];
    for (value, wave, json) in table {
        assert_eq!(to_wave(&value), wave);
        assert_eq!(to_json(&value), json, "{wave}");
    }
}

#[test]
fn oplog_entries_have_the_guests_names() {
    use crate::v1::{ExportedFunctionInvokedEntry, IndexedOplogEntry, OplogEntry, oplog_entry::Entry};

    let invoked = ExportedFunctionInvokedEntry {
        function_name: "f".into(),
        request: vec![of(Kind::U64Value(5))],
        idempotency_key: "k".into(),
        context: None,
    };
    let entry = OplogEntry {
        timestamp_ns: 0,
        entry: Some(Entry::ExportedFunctionInvoked(invoked)),
    };
    assert_eq!(
        super::json::oplog_entry(&IndexedOplogEntry {
            index: 3,
            entry: Some(entry)
        }),
        json!({
            "index": 3,
            "type": "exported-function-invoked",
            "timestamp": "1970-01-01T00:00:00.000Z",
            "function-name": "f",
            "request": [5],
            "idempotency-key": "k",
            "trace-id": "",
            "trace-states": [],
            "invocation-context": [],
        })
    );
}
