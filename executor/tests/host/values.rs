use kiln_executor::host::value::{parse_json, parse_wave};

use crate::fixture::{Worker, built, load, ok};

#[tokio::test]
async fn every_kind_of_value_passes_through_a_guest() {
    let worker = Worker::of(built("values")).await;
    let mut instance = worker.start().await;
    let cases = [
        ("echo-bool", "true"),
        ("echo-u8", "255"),
        ("echo-u16", "65535"),
        ("echo-u32", "4294967295"),
        ("echo-u64", "18446744073709551615"),
        ("echo-s8", "-128"),
        ("echo-s16", "-32768"),
        ("echo-s32", "-2147483648"),
        ("echo-s64", "-9223372036854775808"),
        ("echo-f32", "1.5"),
        ("echo-f64", "-0.1"),
        ("echo-f64", "nan"),
        ("echo-f64", "-inf"),
        ("echo-char", "'ß'"),
        ("echo-char", r"'\''"),
        ("echo-string", r#""zwölf \"Boxkämpfer\" \\ 🦀""#),
        ("echo-string", r#""""#),
        ("echo-bytes", "[0, 1, 255]"),
        ("echo-list", r#"["a", "", "b"]"#),
        ("echo-tuple", r#"(1, "x", false)"#),
        ("echo-point", "{x: -1, y: 2}"),
        (
            "echo-sample",
            r#"{name: "n", at: {x: 1, y: 2}, tags: ["t"], note: some("hi"), pairs: [("a", 1)]}"#,
        ),
        (
            "echo-sample",
            r#"{name: "n", at: {x: 1, y: 2}, tags: [], pairs: []}"#,
        ),
        ("echo-shape", "nothing"),
        ("echo-shape", "circle(2.5)"),
        ("echo-shape", "polygon([{x: 1, y: 1}])"),
        ("echo-colour", "green"),
        ("echo-access", "{read, execute}"),
        ("echo-access", "{}"),
        ("echo-option", "none"),
        ("echo-option", "some(none)"),
        ("echo-option", "some(some(3))"),
        ("echo-result", "ok(7)"),
        ("echo-result", r#"err("why")"#),
        ("echo-bare-result", "ok"),
        ("echo-bare-result", "err"),
        ("bare", "9"),
    ];
    for (function, argument) in cases {
        assert_eq!(
            ok(&mut instance, function, &[argument]).await,
            argument,
            "{function}"
        );
    }
    assert_eq!(ok(&mut instance, "no-result", &[]).await, "");
    ok(&mut instance, "two", &["1", "\"x\""]).await;
}

#[tokio::test]
async fn json_and_wave_say_the_same() {
    let component = load(built("values")).await;
    let cases = [
        ("echo-u64", "[18446744073709551615]", "18446744073709551615"),
        ("echo-u64", r#"["18446744073709551615"]"#, "18446744073709551615"),
        ("echo-s64", "[-5]", "-5"),
        ("echo-f32", "[1.5]", "1.5"),
        ("echo-f64", r#"["nan"]"#, "nan"),
        ("echo-char", r#"["x"]"#, "'x'"),
        ("echo-bytes", "[[0, 1, 255]]", "[0, 1, 255]"),
        ("echo-tuple", r#"[[1, "x", false]]"#, r#"(1, "x", false)"#),
        ("echo-point", r#"[{"x": 1, "y": 2}]"#, "{x: 1, y: 2}"),
        ("echo-shape", r#"["nothing"]"#, "nothing"),
        ("echo-shape", r#"[{"circle": 2.5}]"#, "circle(2.5)"),
        ("echo-colour", r#"["green"]"#, "green"),
        ("echo-access", r#"[["read", "execute"]]"#, "{read, execute}"),
        ("echo-option", "[null]", "none"),
        ("echo-option", "[3]", "some(some(3))"),
        ("echo-option", r#"[{"some": null}]"#, "some(none)"),
        ("echo-result", r#"[{"ok": 7}]"#, "ok(7)"),
        ("echo-result", r#"[{"error": "why"}]"#, r#"err("why")"#),
        ("echo-bare-result", r#"[{"ok": null}]"#, "ok"),
    ];
    for (function, json, wave) in cases {
        let signature = &component.function(function).expect("a known function").signature;
        let from_json =
            parse_json(signature, json).unwrap_or_else(|error| panic!("{function} {json}: {error}"));
        let from_wave =
            parse_wave(signature, &[wave]).unwrap_or_else(|error| panic!("{function} {wave}: {error}"));
        // NaN is not equal to itself.
        assert_eq!(format!("{from_json:?}"), format!("{from_wave:?}"), "{function}");
    }
}

#[tokio::test]
async fn an_error_says_where_what_and_what_instead() {
    let component = load(built("values")).await;
    let wave_cases = [
        (
            "echo-u8",
            "256",
            "argument 1 (v), offset 0: expected u8 (0 to 255), found `256`",
        ),
        (
            "echo-u8",
            "\"1\"",
            "argument 1 (v), offset 0: expected u8 (0 to 255), found `\"1\"`",
        ),
        (
            "echo-point",
            "{x: 1, y: true}",
            "argument 1 (v) at .y, offset 10: expected s32 (-2147483648 to 2147483647), found `true`",
        ),
        (
            "echo-point",
            "{x: 1}",
            "argument 1 (v), offset 0: expected field `y: s32`, found `{x: 1}`",
        ),
        (
            "echo-list",
            "[\"a\", 5]",
            "argument 1 (v) at [1], offset 6: expected string, found `5`",
        ),
        (
            "echo-colour",
            "pink",
            "argument 1 (v), offset 0: expected one of red, green, blue, found `pink`",
        ),
        (
            "echo-shape",
            "circle",
            "argument 1 (v) at (circle), offset 0: expected a payload of type f64, found `circle`",
        ),
        (
            "echo-string",
            "hello",
            "argument 1 (v), offset 0: expected string, found `hello`",
        ),
    ];
    for (function, text, expected) in wave_cases {
        let signature = &component.function(function).expect("a known function").signature;
        let error = parse_wave(signature, &[text]).expect_err(text);
        assert_eq!(error.to_string(), expected, "{function} {text}");
    }
    let json_cases = [
        (
            "echo-u8",
            "[256]",
            "argument 1 (v): expected u8 (0 to 255), found 256",
        ),
        (
            "echo-sample",
            r#"[{"name": "n", "at": {"x": 1, "y": "?"}, "tags": [], "pairs": []}]"#,
            "argument 1 (v) at .at.y: expected s32 (-2147483648 to 2147483647), found \"?\"",
        ),
        (
            "echo-access",
            r#"[["read", "fly"]]"#,
            "argument 1 (v) at [1]: expected one of read, write, execute, found \"fly\"",
        ),
        (
            "two",
            "[1]",
            "expected 2 arguments, got 1; the signature is func(a: u32, b: string) -> string",
        ),
    ];
    for (function, text, expected) in json_cases {
        let signature = &component.function(function).expect("a known function").signature;
        let error = parse_json(signature, text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{function} {text}");
    }
}
