//! `kiln up`, a component, a worker; stopped and started again on the same data.
#![allow(missing_docs)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const INCREMENT: &str = "test:counter/api.{increment}";

/// A running `kiln up`.
struct Up {
    process: Child,
    endpoint: String,
}

impl Up {
    fn start(data: &Path) -> Result<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_kiln"))
            .args([
                "up",
                "--grpc",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                "--shards",
                "4",
                "--data",
            ])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("piped")?).read_line(&mut line)?;
        let mut words = line.split_whitespace();
        ensure!(words.next() == Some("ready"), "kiln up said {line:?}");
        let endpoint = words
            .next()
            .and_then(|word| word.strip_prefix("grpc="))
            .context("an address")?
            .to_owned();
        Ok(Self { process, endpoint })
    }

    fn run(&self, line: &[&str]) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        let command = command.args(["-o", "json", "--endpoint", &self.endpoint]);
        Ok(command.args(line).output()?)
    }

    /// Runs a command that has to be refused; gives its exit code and the error's code.
    fn refused(&self, line: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.run(line)?;
        let error: Value = serde_json::from_slice(&output.stderr)?;
        let code = error["error"]["code"].as_str().context("an error has a code")?;
        Ok((output.status.code(), code.to_owned()))
    }

    /// Runs a command that has to succeed.
    fn json(&self, line: &[&str]) -> Result<Value> {
        let output = self.run(line)?;
        ensure!(
            output.status.success(),
            "kiln {line:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Stops it as a service manager would; it has to end well.
    fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.process.id())?), Signal::SIGTERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "kiln up ended with {status}");
        Ok(())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Already gone after `stop`.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn counter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/built/counter.wasm")
}

#[test]
fn a_worker_outlives_its_server() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path())?;
    let counter = counter();
    let added = up.json(&["component", "add", "counter", counter.to_str().context("UTF-8")?])?;
    assert_eq!(
        (added["component"].as_str(), added["version"].as_u64()),
        (Some("counter"), Some(0))
    );
    let first = up.json(&["worker", "invoke", "counter/c1", INCREMENT, "5", "--key", "k1"])?;
    assert_eq!(
        first,
        serde_json::json!({"result": 5, "wave": "5", "idempotencyKey": "k1"})
    );
    up.stop()?;

    let up = Up::start(data.path())?;
    let again = up.json(&["worker", "invoke", "counter/c1", INCREMENT, "5", "--key", "k1"])?;
    assert_eq!(again["result"], 5, "the recorded result");
    let second = up.json(&["worker", "invoke", "counter/c1", INCREMENT, "5"])?;
    assert_eq!(second["result"], 10);
    let worker = up.json(&["worker", "get", "counter/c1"])?;
    assert_eq!(worker["status"], "idle");
    let listed = up.json(&["worker", "list", "counter", "--precise"])?;
    assert_eq!(listed["workers"].as_array().map(Vec::len), Some(1));
    let oplog = up.json(&["worker", "oplog", "counter/c1"])?;
    assert_eq!(oplog["entries"][0]["type"], "create");
    up.stop()
}

#[test]
fn a_component_is_deleted_after_its_workers() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path())?;
    let counter = counter();
    let add = ["component", "add", "counter", counter.to_str().context("UTF-8")?];
    let first = up.json(&add)?;
    up.json(&["worker", "invoke", "counter/c1", INCREMENT, "5"])?;
    let delete = ["component", "delete", "counter"];
    assert_eq!(up.refused(&delete)?, (Some(4), "conflict".to_owned()));
    up.json(&["worker", "delete", "counter/c1"])?;
    let deleted = up.json(&delete)?;
    assert_eq!(
        deleted,
        serde_json::json!({"component": "counter", "deleted": true})
    );
    for gone in [
        &delete[..],
        &["component", "get", "counter"],
        &["worker", "invoke", "counter/c1", INCREMENT, "5"],
    ] {
        assert_eq!(up.refused(gone)?, (Some(3), "not-found".to_owned()), "{gone:?}");
    }
    // The name is free again, for another component.
    let second = up.json(&add)?;
    assert_ne!(first["componentId"], second["componentId"]);
    let fresh = up.json(&["worker", "invoke", "counter/c1", INCREMENT, "5"])?;
    assert_eq!(fresh["result"], 5);
    up.stop()
}

#[test]
fn one_data_folder_serves_one_cluster() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path())?;
    let second = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args([
            "-o",
            "json",
            "up",
            "--grpc",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(data.path())
        .output()?;
    assert_eq!(second.status.code(), Some(4));
    let error: Value = serde_json::from_slice(&second.stderr)?;
    assert_eq!(error["error"]["code"], "conflict");
    up.stop()
}
