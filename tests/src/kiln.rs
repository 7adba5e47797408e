//! The `kiln` command as a user runs it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

/// Longer than any command may take, failover included: a command that hangs is a failed test.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// The binary under test: `KILN_BIN`, or the one that cargo built beside this test.
///
/// # Errors
/// There is none.
pub fn binary() -> Result<PathBuf> {
    let path = match std::env::var_os("KILN_BIN") {
        Some(path) => PathBuf::from(path),
        None => beside_this_test()?,
    };
    ensure!(
        path.is_file(),
        "{} is missing: run `cargo build -p kiln` first, or set KILN_BIN",
        path.display()
    );
    Ok(path)
}

fn beside_this_test() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let deps = test
        .parent()
        .and_then(Path::parent)
        .context("a test executable lies in target/PROFILE/deps")?;
    Ok(deps.join("kiln"))
}

/// Runs commands against one endpoint.
#[derive(Debug, Clone)]
pub struct Kiln {
    binary: PathBuf,
    endpoint: String,
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl Kiln {
    /// Commands for the node at `endpoint`, an URL.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn new(endpoint: impl Into<String>) -> Result<Self> {
        Ok(Self {
            binary: binary()?,
            endpoint: endpoint.into(),
        })
    }

    /// Runs one command to its end, whatever that is.
    ///
    /// # Errors
    /// It could not be started, or hangs.
    pub async fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Outcome> {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("KILN_ENDPOINT", &self.endpoint)
            .env_remove("RUST_LOG");
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(COMMAND_TIMEOUT, command.output());
        let output = output.await.with_context(|| format!("hangs: {command:?}"))??;
        Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command with `-o json` that has to succeed and gives what it printed.
    ///
    /// # Errors
    /// It failed, or printed no JSON.
    pub async fn json<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Value> {
        let mut all: Vec<&OsStr> = vec!["-o".as_ref(), "json".as_ref()];
        all.extend(arguments.iter().map(AsRef::as_ref));
        let outcome = self.run(&all).await?;
        ensure!(
            outcome.code == 0,
            "kiln {all:?} exited with {}: {}",
            outcome.code,
            outcome.stderr
        );
        serde_json::from_str(&outcome.stdout)
            .with_context(|| format!("kiln {all:?} printed {:?}", outcome.stdout))
    }

    /// Runs a command with `-o json` that has to fail and gives its exit code and the error on stderr.
    ///
    /// # Errors
    /// It succeeded, or its last line on stderr is no JSON error.
    pub async fn refused<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<(i32, Refusal)> {
        let mut all: Vec<&OsStr> = vec!["-o".as_ref(), "json".as_ref()];
        all.extend(arguments.iter().map(AsRef::as_ref));
        let outcome = self.run(&all).await?;
        ensure!(outcome.code != 0, "kiln {all:?} succeeded: {}", outcome.stdout);
        let line = outcome.stderr.lines().last().unwrap_or_default();
        let error: Value =
            serde_json::from_str(line).with_context(|| format!("kiln {all:?} said {:?}", outcome.stderr))?;
        let text = |field: &str| error["error"][field].as_str().unwrap_or_default().to_owned();
        Ok((
            outcome.code,
            Refusal {
                code: text("code"),
                message: text("message"),
                hint: text("hint"),
            },
        ))
    }
}

/// The error that a command prints with `-o json`.
#[derive(Debug)]
pub struct Refusal {
    /// Stable code.
    pub code: String,
    /// What failed.
    pub message: String,
    /// What to do next.
    pub hint: String,
}
