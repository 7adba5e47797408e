//! What the command says and how it exits when no server is there.
#![allow(missing_docs)]

use std::{
    io::Read,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn kiln(line: &[&str]) -> Output {
    command(line).output().expect("kiln runs")
}

fn command(line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command
        .args(line)
        .env_remove("KILN_ENDPOINT")
        .stdin(Stdio::null());
    command
}

#[test]
fn exit_codes_and_words() {
    // (arguments, exit code, words on stdout or stderr)
    type Case<'a> = (&'a [&'a str], i32, &'a str);
    let cases: &[Case<'_>] = &[
        (&["version"], 0, "kiln "),
        (&["--version"], 0, "kiln "),
        (&["--help"], 0, "Examples:"),
        (&["worker", "invoke", "--help"], 0, "--args-json"),
        (&["completion", "bash"], 0, "_kiln"),
        (&["fly"], 2, "unrecognized subcommand"),
        (&["worker", "get", "no-slash"], 2, "COMPONENT/WORKER"),
        (&["worker", "get", "a/b", "--endpoint", "https://a:1"], 2, "TLS"),
        (&["worker", "get", "a/b", "--timeout", "soon"], 2, "10s"),
        (
            &["worker", "invoke", "a/b", "f", "--args-json", "{"],
            2,
            "JSON array",
        ),
        (
            &["component", "add", "a", "/nonexistent.wasm"],
            1,
            "/nonexistent.wasm",
        ),
        (
            &[
                "worker",
                "get",
                "a/b",
                "--endpoint",
                "127.0.0.1:1",
                "--timeout",
                "200ms",
            ],
            5,
            "127.0.0.1:1",
        ),
        (&["config", "check"], 0, "valid"),
        (&["config", "check", "--role", "executor"], 2, "cluster.managers"),
        (
            &["config", "check", "--config", "/nonexistent.toml"],
            2,
            "no such file",
        ),
        (&["config", "dump"], 0, "listen = \"127.0.0.1:7400\"  # default"),
    ];
    for (line, exit_code, words) in cases {
        let output = kiln(line);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(*exit_code), "{line:?}: {text}");
        assert!(text.contains(words), "{line:?} should mention {words:?}: {text}");
    }
}

#[test]
fn errors_are_one_line_of_json_where_asked_for() {
    let cases: &[(&[&str], &str)] = &[
        (&["-o", "json", "fly"], "usage"),
        (
            &["config", "check", "--role", "executor", "-o", "json"],
            "invalid",
        ),
        (
            &[
                "cluster",
                "nodes",
                "-o",
                "json",
                "--endpoint",
                "127.0.0.1:1",
                "--timeout",
                "100ms",
            ],
            "unavailable",
        ),
    ];
    for (line, code) in cases {
        let output = kiln(line);
        assert!(output.stdout.is_empty(), "{line:?}");
        let error: Value = serde_json::from_slice(&output.stderr).expect("stderr is JSON");
        assert_eq!(error["error"]["code"], *code, "{line:?}");
        assert!(error["error"]["message"].is_string() && error["error"]["hint"].is_string());
    }
}

#[test]
fn a_closed_stdout_is_success() {
    let mut child = command(&["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut stderr)
        .expect("read");
    assert!(child.wait().expect("ends").success(), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn the_environment_sets_the_configuration() {
    let output = command(&["config", "dump", "-o", "json"])
        .env("KILN_API__MESSAGE_SIZE_MAX", "1MiB")
        .env("KILN_ENDPOINT", "127.0.0.1:1")
        .output()
        .expect("kiln runs");
    let dump: Value = serde_json::from_slice(&output.stdout).expect("stdout is JSON");
    assert_eq!(dump["api.message_size_max"]["value"], "1MiB");
    assert_eq!(
        dump["api.message_size_max"]["source"],
        "KILN_API__MESSAGE_SIZE_MAX"
    );
}
