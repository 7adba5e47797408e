//! `kiln up` as a process of the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::guests;
use crate::kiln::{Kiln, binary};
use crate::wait::eventually;

/// A running `kiln up`.
#[derive(Debug)]
pub struct Up {
    process: Child,
    /// The command, pointed at it.
    pub kiln: Kiln,
    /// Where it serves gRPC.
    pub grpc: String,
    /// Where it serves HTTP.
    pub http: String,
}

impl Up {
    /// Starts it on a data folder and free ports, and waits until it serves.
    ///
    /// # Errors
    /// It did not come to serve.
    pub async fn start(data: &Path, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command
            .arg("up")
            .arg("--data")
            .arg(data)
            .args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped());
        // In its place from the start, so that it ends with this value when something below fails.
        let mut up = Self {
            process: command.spawn()?,
            kiln: Kiln::new("")?,
            grpc: String::new(),
            http: String::new(),
        };
        let stdout = up.process.stdout.take().context("stdout is piped")?;
        let ready = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stdout).lines();
            lines.find(|line| line.as_ref().map_or(true, |line| line.starts_with("ready ")))
        });
        let ready = tokio::time::timeout(Duration::from_secs(60), ready)
            .await
            .context("kiln up is not ready")??;
        let ready = ready.context("kiln up ended before it was ready")??;
        let address = |name: &str| {
            let found = ready
                .split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found
                .with_context(|| format!("ready names {name}"))
                .map(str::to_owned)
        };
        up.grpc = address("grpc")?;
        up.http = address("http")?;
        up.kiln = Kiln::new(format!("http://{}", up.grpc))?;
        Ok(up)
    }

    /// Adds a guest as a component of the same name.
    ///
    /// # Errors
    /// It was refused.
    pub async fn add(&self, guest: &str) -> Result<()> {
        let file = guests::path(guest);
        let file = file.to_str().context("a path in UTF-8")?;
        self.kiln.json(&["component", "add", guest, file]).await?;
        Ok(())
    }

    /// Invokes a function of a worker and gives the result as JSON.
    ///
    /// # Errors
    /// It was refused.
    pub async fn invoke(&self, worker: &str, function: &str, arguments: &[&str]) -> Result<Value> {
        let command = [&["worker", "invoke", worker, function], arguments].concat();
        Ok(self.kiln.json(&command).await?["result"].clone())
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Ends it with SIGTERM, as a service manager does.
    ///
    /// # Errors
    /// It did not end well, or not in time.
    pub async fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.process.id())?), Signal::SIGTERM)?;
        let status = eventually("kiln up ends on SIGTERM", Duration::from_secs(20), async || {
            Ok(self.process.try_wait()?)
        });
        let status = status.await?;
        ensure!(status.success(), "kiln up ended with {status}");
        Ok(())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Only after a failure: `stop` leaves a process that is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
