//! How a command fails: exit code, and the message for people or as JSON.

use std::{fmt, process::ExitCode};

use kiln_client::Error;
use kiln_proto::ErrorCode;
use serde_json::json;

use crate::{config, output::Format};

/// Stdout was closed by its reader: nothing is left to do, and that is fine.
#[derive(Debug, thiserror::Error)]
#[error("stdout is closed")]
pub(crate) struct StdoutClosed;

/// The user asked for something that makes no sense.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Usage {}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: u8,
    code: &'static str,
    message: String,
    hint: String,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<StdoutClosed>() {
            return Self {
                exit: 0,
                code: "ok",
                message: String::new(),
                hint: String::new(),
            };
        }
        let message = format!("{error:#}");
        match error.downcast_ref::<Error>() {
            Some(remote) => Self {
                exit: exit_of(remote.code),
                code: name_of(remote.code),
                message,
                hint: remote.hint.clone(),
            },
            None if error.is::<Usage>() || error.is::<config::Problems>() => Self {
                exit: 2,
                code: "invalid",
                message,
                hint: String::new(),
            },
            None => Self {
                exit: 1,
                code: "failed",
                message,
                hint: String::new(),
            },
        }
    }
}

impl Failure {
    /// Tells the user on stderr and gives the exit code.
    pub(crate) fn report(&self, format: Format) -> ExitCode {
        if self.exit == 0 {
            return ExitCode::SUCCESS;
        }
        match format {
            Format::Json => {
                let error = json!({"code": self.code, "message": self.message, "hint": self.hint});
                eprintln!("{}", json!({ "error": error }));
            }
            Format::Table => {
                eprintln!("error: {}", self.message);
                if !self.hint.is_empty() {
                    eprintln!("  hint: {}", self.hint);
                }
            }
        }
        ExitCode::from(self.exit)
    }
}

/// What clap has to say: help and version on stdout, errors on stderr, as JSON where that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed stdout is fine here too.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if !asks_for_json(std::env::args()) {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let text = error.to_string();
    let message = text
        .trim_start_matches("error: ")
        .lines()
        .next()
        .unwrap_or_default();
    eprintln!(
        "{}",
        json!({"error": {"code": "usage", "message": message, "hint": "see --help"}})
    );
    ExitCode::from(2)
}

fn asks_for_json(arguments: impl Iterator<Item = String>) -> bool {
    let arguments: Vec<String> = arguments.collect();
    let joined = ["-ojson", "-o=json", "--output=json"];
    arguments
        .windows(2)
        .any(|pair| (pair[0] == "-o" || pair[0] == "--output") && pair[1] == "json")
        || arguments
            .iter()
            .any(|argument| joined.contains(&argument.as_str()))
}

fn exit_of(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::Invalid => 2,
        ErrorCode::NotFound => 3,
        ErrorCode::AlreadyExists | ErrorCode::Conflict => 4,
        ErrorCode::Unavailable | ErrorCode::NotOwner | ErrorCode::Fenced | ErrorCode::DeadlineExceeded => 5,
        ErrorCode::Unspecified
        | ErrorCode::LimitExceeded
        | ErrorCode::Corrupt
        | ErrorCode::Internal
        | ErrorCode::WorkerFailed
        | ErrorCode::Interrupted => 1,
    }
}

fn name_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unspecified | ErrorCode::Internal => "internal",
        ErrorCode::Unavailable => "unavailable",
        ErrorCode::NotOwner => "not-owner",
        ErrorCode::Fenced => "fenced",
        ErrorCode::Invalid => "invalid",
        ErrorCode::NotFound => "not-found",
        ErrorCode::AlreadyExists => "already-exists",
        ErrorCode::LimitExceeded => "limit-exceeded",
        ErrorCode::Corrupt => "corrupt",
        ErrorCode::WorkerFailed => "worker-failed",
        ErrorCode::Interrupted => "interrupted",
        ErrorCode::Conflict => "conflict",
        ErrorCode::DeadlineExceeded => "deadline-exceeded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        let table: [(anyhow::Error, u8, &str); 8] = [
            (Error::invalid("x").into(), 2, "invalid"),
            (Error::not_found("x").into(), 3, "not-found"),
            (Error::already_exists("x").into(), 4, "already-exists"),
            (Error::conflict("x").into(), 4, "conflict"),
            (Error::unavailable("x").into(), 5, "unavailable"),
            (Error::worker_failed("x").into(), 1, "worker-failed"),
            (Usage("x".into()).into(), 2, "invalid"),
            (StdoutClosed.into(), 0, "ok"),
        ];
        for (error, exit, code) in table {
            let failure = Failure::from(error.context("while testing"));
            assert_eq!((failure.exit, failure.code), (exit, code));
        }
    }

    #[test]
    fn json_is_recognised_before_parsing() {
        let asks = |line: &str| asks_for_json(line.split(' ').map(str::to_owned));
        assert!(asks("kiln -o json worker"));
        assert!(asks("kiln worker --output=json"));
        assert!(!asks("kiln worker json"));
    }
}
