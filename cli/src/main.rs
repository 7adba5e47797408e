//! The `kiln` command: every role of a cluster, and its client.
//!
//! * [`args`] – the command line; `command` – the client commands, one noun a file
//! * [`up`], [`server`] – the commands that serve; [`node`] – what they put together
//! * [`config`] – defaults, file, environment and flags; [`bench`] – the load generator
//! * [`output`], [`failure`] – tables, JSON and exit codes; [`process`] – signals, limits, the log

mod args;
mod bench;
mod command;
mod config;
mod failure;
mod node;
mod output;
mod process;
mod server;
mod up;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Cli, failure::Failure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    let output = cli.global.output();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::from(error).report(output),
    }
}
