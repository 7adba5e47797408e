//! Killing the process behind a chosen entry of a worker's oplog. A node that was started with [`CrashPoints::setting`] stops
//! the worker there and says so (`executor/src/journal/crash_point.rs`); the test kills it then.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// When the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The entry is recorded in memory only: with it goes everything behind the last commit.
    Append,
    /// The entry is durable, and nobody has been told.
    Commit,
}

/// A worker has come to the point that was set.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// The last entry that is recorded.
    pub last: u64,
    /// The process that stands there.
    pub pid: u32,
}

/// The points that are set.
#[derive(Debug)]
pub struct CrashPoints(TempDir);

impl CrashPoints {
    /// None so far.
    ///
    /// # Errors
    /// There is no room for the folder.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// What nodes have to find in their environment.
    ///
    /// # Errors
    /// The folder's path is not in UTF-8.
    pub fn setting(&self) -> Result<(&str, &str)> {
        let folder = self.0.path().to_str().context("a path in UTF-8")?;
        Ok(("KILN_CRASH_POINTS", folder))
    }

    /// Has the first life of the worker that comes to the entry stop there.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn set(&self, worker: &str, moment: Moment, index: u64) -> Result<()> {
        let word = match moment {
            Moment::Append => "append",
            Moment::Commit => "commit",
        };
        // Renamed into place, so that nobody reads half of it.
        let draft = self.0.path().join(format!("{worker}.draft"));
        std::fs::write(&draft, format!("{word} {index}"))?;
        Ok(std::fs::rename(draft, self.file(worker))?)
    }

    /// Waits until the worker stands at its point.
    pub async fn hit(&self, worker: &str) -> Hit {
        let file = self.file(&format!("{worker}.hit"));
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            // The end of the line is written last.
            if let Some((last, pid)) = text.strip_suffix('\n').and_then(|text| text.split_once(' '))
                && let (Ok(last), Ok(pid)) = (last.parse(), pid.parse())
            {
                return Hit { last, pid };
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Takes a point back that the worker has not come to; false when it has.
    #[must_use]
    pub fn unset(&self, worker: &str) -> bool {
        std::fs::remove_file(self.file(worker)).is_ok()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
