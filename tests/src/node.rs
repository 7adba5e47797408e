//! One `kiln server` process.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{kiln, ports};

/// What a node does in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A replica of the control plane.
    Manager,
    /// Holds shards and runs workers.
    Executor,
}

/// A node of the cluster under test: its place on disk and on the network outlives its process.
#[derive(Debug)]
pub struct Node {
    /// `manager-1`, `executor-2` …
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Where it serves gRPC.
    pub address: SocketAddr,
    http: SocketAddr,
    data: PathBuf,
    log: PathBuf,
    /// Settings beside the arguments, as environment variables.
    settings: Vec<(String, String)>,
    process: Option<Child>,
}

impl Node {
    /// A node that was never started, with its data in a folder of its own under `folder`.
    ///
    /// # Errors
    /// No port is free.
    pub fn new(role: Role, number: usize, folder: &Path) -> Result<Self> {
        let kind = match role {
            Role::Manager => "manager",
            Role::Executor => "executor",
        };
        let name = format!("{kind}-{number}");
        Ok(Self {
            role,
            address: ports::reserve()?,
            http: ports::reserve()?,
            data: folder.join(&name),
            log: folder.join(format!("{name}.log")),
            name,
            settings: Vec::new(),
            process: None,
        })
    }

    /// Adds a setting, `KILN_A__B`, with which its processes start from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.settings.push((variable.to_owned(), value.to_owned()));
    }

    /// The URL for clients.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of its HTTP listener.
    #[must_use]
    pub fn http_endpoint(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Where it serves HTTP.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Starts its process, on the data that an earlier one left.
    ///
    /// # Errors
    /// The process could not be started.
    pub fn start(&mut self, managers: &str) -> Result<()> {
        let mut command = Command::new(kiln::binary()?);
        let role = match self.role {
            Role::Manager => "manager",
            Role::Executor => "executor",
        };
        command.args([
            "server",
            "--role",
            role,
            "--name",
            &self.name,
            "--managers",
            managers,
        ]);
        command.args(["--listen", &self.address.to_string()]);
        command.args(["--http", &self.http.to_string()]);
        command.arg("--data").arg(&self.data);
        command.envs(self.settings.iter().cloned());
        let log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().with_context(|| format!("start {}", self.name))?);
        Ok(())
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Stops its threads where they are, as SIGSTOP does.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`Node::pause`].
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// True when its process ended by itself, which no node may do.
    ///
    /// # Errors
    /// The process cannot be asked.
    pub fn has_crashed(&mut self) -> Result<bool> {
        match &mut self.process {
            Some(process) => Ok(process.try_wait()?.is_some()),
            None => Ok(false),
        }
    }

    /// The last lines that it logged.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self
            .process
            .as_ref()
            .with_context(|| format!("{} does not run", self.name))?;
        kill(Pid::from_raw(i32::try_from(process.id())?), signal)?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the test's own result matters more.
        let _ = self.kill();
    }
}
