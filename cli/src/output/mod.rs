//! Data on stdout, as a table or as JSON; all else goes to stderr.

mod progress;
mod table;

use std::io::{ErrorKind, Write};

use anyhow::Context;
use serde_json::Value as Json;

pub(crate) use progress::Progress;
pub(crate) use table::{Table, cell};

use crate::failure::StdoutClosed;

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

impl Format {
    /// Prints one result: the JSON, or the text made for people.
    pub(crate) fn print(self, json: &Json, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self {
            Self::Json => line(&format!("{json:#}")),
            Self::Table => {
                let text = text();
                if text.is_empty() { Ok(()) } else { line(&text) }
            }
        }
    }

    /// Prints rows that have these fields.
    pub(crate) fn print_rows<const N: usize>(
        self,
        rows: Vec<Json>,
        header: [&str; N],
        fields: [&str; N],
    ) -> anyhow::Result<()> {
        let mut table = Table::new(header);
        for row in &rows {
            table.row(fields.map(|field| cell(&row[field])));
        }
        self.print(&rows.into(), || table.text())
    }
}

/// Prints bytes as they are.
pub(crate) fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        result => result.context("write to stdout"),
    }
}

/// Prints one line on stdout. A reader that went away ends the command with success.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        result => result.context("write to stdout"),
    }
}
