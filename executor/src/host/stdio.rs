use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use kiln_proto::v1::{LogEntry, log_entry::Level};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, sink};
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

use super::limits::LimitExceeded;
use crate::journal::Journal;

/// Lines of stderr that are kept for the error of a failed invocation.
const STDERR_LINES_MAX: usize = 128;
/// A longer line is cut into several.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Most bytes that a guest may write at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What the guest writes to stdout and stderr, gathered into lines until the host takes them.
#[derive(Clone)]
pub(super) struct Stdio {
    shared: Arc<Shared>,
}

struct Shared {
    lines: Mutex<Lines>,
    journal: Journal,
    bytes_max: u64,
}

#[derive(Default)]
struct Lines {
    /// Written in this invocation.
    bytes: u64,
    complete: Vec<LogEntry>,
    stdout_rest: Vec<u8>,
    stderr_rest: Vec<u8>,
    stderr_tail: VecDeque<String>,
}

impl Stdio {
    /// `bytes_max` bounds what is written in one invocation; what is replayed was allowed once.
    pub(super) fn new(journal: Journal, bytes_max: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                lines: Mutex::default(),
                journal,
                bytes_max,
            }),
        }
    }

    pub(super) fn stdout(&self) -> LineStream {
        LineStream {
            shared: self.shared.clone(),
            level: Level::Stdout,
        }
    }

    pub(super) fn stderr(&self) -> LineStream {
        LineStream {
            shared: self.shared.clone(),
            level: Level::Stderr,
        }
    }

    /// Removes the complete lines.
    pub(super) fn take(&self) -> Vec<LogEntry> {
        let mut lines = self.shared.lines.lock();
        if lines.complete.is_empty() {
            Vec::new()
        } else {
            std::mem::take(&mut lines.complete)
        }
    }

    /// Ends lines that the guest left without a newline.
    pub(super) fn end_lines(&self) {
        let mut lines = self.shared.lines.lock();
        lines.end_line(Level::Stdout);
        lines.end_line(Level::Stderr);
    }

    /// A new invocation begins: earlier lines are its predecessor's.
    pub(super) fn begin(&self) {
        let mut lines = self.shared.lines.lock();
        lines.stderr_tail.clear();
        lines.bytes = 0;
    }

    /// Counts what is about to be written to a log.
    ///
    /// # Errors
    /// When it is more than one invocation may write.
    pub(super) fn count(&self, bytes: usize) -> Result<(), LimitExceeded> {
        self.shared.count(bytes)
    }

    /// The last lines that the guest wrote to stderr.
    pub(super) fn stderr_tail(&self) -> String {
        let lines = self.shared.lines.lock();
        lines
            .stderr_tail
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Shared {
    fn count(&self, bytes: usize) -> Result<(), LimitExceeded> {
        let mut lines = self.lines.lock();
        lines.bytes = lines.bytes.saturating_add(bytes as u64);
        if lines.bytes > self.bytes_max && self.journal.is_live() {
            let max = self.bytes_max;
            return Err(LimitExceeded(format!(
                "too much output: one invocation may write {max} bytes to stdout, stderr and logs"
            )));
        }
        Ok(())
    }
}

impl Lines {
    fn write(&mut self, level: Level, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.rest(level).extend_from_slice(&bytes[..end]);
            self.push_line(level);
            bytes = &bytes[end + 1..];
        }
        self.rest(level).extend_from_slice(bytes);
        if self.rest(level).len() >= LINE_BYTES_MAX {
            self.push_line(level);
        }
    }

    fn end_line(&mut self, level: Level) {
        if !self.rest(level).is_empty() {
            self.push_line(level);
        }
    }

    fn push_line(&mut self, level: Level) {
        let bytes = std::mem::take(self.rest(level));
        let message = String::from_utf8_lossy(&bytes).into_owned();
        if level == Level::Stderr {
            if self.stderr_tail.len() == STDERR_LINES_MAX {
                self.stderr_tail.pop_front();
            }
            self.stderr_tail.push_back(message.clone());
        }
        self.complete.push(LogEntry {
            level: level.into(),
            context: String::new(),
            message,
        });
    }

    fn rest(&mut self, level: Level) -> &mut Vec<u8> {
        if level == Level::Stderr {
            &mut self.stderr_rest
        } else {
            &mut self.stdout_rest
        }
    }
}

/// One of the two output streams, as WASI sees it: never full, never fails.
pub(super) struct LineStream {
    shared: Arc<Shared>,
    level: Level,
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    /// Only WASI 0.3 would use this; Kiln does not offer it.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self {
            shared: self.shared.clone(),
            level: self.level,
        })
    }
}

#[async_trait::async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BYTES_MAX {
            return Err(StreamError::trap("more bytes written than permitted"));
        }
        self.shared
            .count(bytes.len())
            .map_err(|error| StreamError::Trap(error.into()))?;
        self.shared.lines.lock().write(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use kiln_proto::ids::{ComponentId, Epoch, OplogIndex, WorkerId};

    use super::*;
    use crate::journal::{MemoryOplog, Options};

    #[test]
    fn gathers_lines_of_both_streams_in_order() {
        let worker = WorkerId {
            component: ComponentId(uuid::Uuid::nil()),
            name: "w".parse().expect("a valid name"),
        };
        let options = Options::new(worker, Epoch(1), OplogIndex::NONE);
        let journal = Journal::open(Arc::new(MemoryOplog::default()), options).expect("an empty oplog");
        let stdio = Stdio::new(journal, 10);
        let (mut out, mut err) = (stdio.stdout(), stdio.stderr());
        for (stream, text) in [(&mut out, "a"), (&mut err, "x\ny\n")] {
            stream.write(text.into()).expect("never fails");
        }
        out.write("b\nc".into()).expect("never fails");
        stdio.end_lines();
        let lines: Vec<(Level, String)> = stdio.take().into_iter().map(|l| (l.level(), l.message)).collect();
        let expected = [
            (Level::Stderr, "x"),
            (Level::Stderr, "y"),
            (Level::Stdout, "ab"),
            (Level::Stdout, "c"),
        ];
        assert_eq!(lines, expected.map(|(level, text)| (level, text.to_owned())));
        assert_eq!(stdio.stderr_tail(), "x\ny");
        assert!(stdio.take().is_empty());
        assert!(out.write("more than is allowed".into()).is_err());
        stdio.begin();
        assert!(out.write("again".into()).is_ok());
    }
}
