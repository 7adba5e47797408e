use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{ChildStderr, Stdio},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A child that died is started again after this time, long enough to see what its death does.
const RESTART_AFTER: Duration = Duration::from_secs(5);
/// A child that does not stop within this time is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// No child runs.
const NONE: i32 = 0;

/// What to run.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
}

/// One supervised child process: started again when it dies, stopped when told.
///
/// A thread of its own starts it and waits for it: the kernel ties the signal at the parent's death to the thread
/// that made the child, so that thread must live as long as the child.
#[derive(Debug)]
pub(super) struct Child {
    shared: Arc<Shared>,
    supervisor: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    pid: AtomicI32,
    stopping: Mutex<bool>,
    changed: Condvar,
}

impl Child {
    /// Starts it and its supervisor.
    pub(super) fn start(command: Command) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            pid: AtomicI32::new(NONE),
            stopping: Mutex::new(false),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let supervisor = std::thread::Builder::new()
            .name(command.name.clone())
            .spawn(move || supervise(&command, &theirs))
            .context("start a thread")?;
        Ok(Self { shared, supervisor })
    }

    /// Tells it to stop.
    pub(super) fn stop(&self) {
        *self
            .shared
            .stopping
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.changed.notify_all();
        self.shared.signal(Signal::SIGTERM);
    }

    /// Waits until it has stopped; kills it when that takes too long.
    pub(super) fn wait(self) {
        let deadline = Instant::now() + STOP_WITHIN;
        while !self.supervisor.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        if !self.supervisor.is_finished() {
            self.shared.signal(Signal::SIGKILL);
        }
        if self.supervisor.join().is_err() {
            tracing::error!("the supervisor of a child process panicked");
        }
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        *self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid.load(Ordering::SeqCst);
        if pid != NONE && kill(Pid::from_raw(pid), signal).is_err() {
            tracing::debug!(pid, "the child has ended already");
        }
    }

    /// Waits before a restart; returns early, with true, when the child shall not be started again.
    fn pause(&self) -> bool {
        let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(stopping, RESTART_AFTER, |stopping| !*stopping);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn supervise(command: &Command, shared: &Shared) {
    loop {
        match run_once(command, shared) {
            Ok(how) if shared.is_stopping() => return tracing::info!(name = command.name, how, "stopped"),
            Ok(how) => eprintln!(
                "{}: ended ({how}), starts again in {} s",
                command.name,
                RESTART_AFTER.as_secs()
            ),
            Err(error) => eprintln!("{}: {error:#}", command.name),
        }
        if shared.pause() {
            return;
        }
    }
}

/// Runs it to its end and tells how that was.
fn run_once(command: &Command, shared: &Shared) -> anyhow::Result<String> {
    let mut process = std::process::Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start the process")?;
    shared.pid.store(
        i32::try_from(process.id()).context("a process id")?,
        Ordering::SeqCst,
    );
    if shared.is_stopping() {
        // The wish came between the start and the moment when it could be signalled.
        shared.signal(Signal::SIGTERM);
    }
    if let Some(stderr) = process.stderr.take() {
        pass_on(&command.name, stderr);
    }
    let status = process.wait().context("wait for the process");
    shared.pid.store(NONE, Ordering::SeqCst);
    Ok(status?.to_string())
}

/// Copies its log to ours, each line with its name, until it ends.
fn pass_on(name: &str, stderr: ChildStderr) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    // A line without end is cut into parts.
    while matches!(reader.by_ref().take(64 << 10).read_until(b'\n', &mut line), Ok(read) if read > 0) {
        eprintln!("{name}: {}", String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}
