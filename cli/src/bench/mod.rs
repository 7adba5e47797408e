//! `kiln bench`: a load generator for users.
//!
//! * [`invoke`] – the command; [`load`] – callers and latencies; [`server_cost`] – what the servers spent meanwhile
//! * [`populate`] – creates workers; [`list`] – pages, counts and scans over them
//! * [`limits`] – what this machine can do at best, measured in the same run; [`report`] – the figures

mod component;
mod invoke;
mod limits;
mod list;
mod load;
mod populate;
mod report;
mod server_cost;

use anyhow::Context;
use clap::Subcommand;

use crate::args::Global;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call workers as fast as they answer, and print requests a second, latencies and costs
    #[command(after_help = "\
Example, with the sample component on a cluster started by `kiln up`:
  kiln bench invoke --file counter.wasm --concurrency 64 --workers 64 --duration 10s --limits")]
    Invoke(invoke::Args),
    /// Create many workers through the public API
    #[command(after_help = "\
Example, for `kiln bench list` afterwards:
  kiln bench populate --file counter.wasm --workers 1000000")]
    Populate(populate::Args),
    /// Measure pages, counts and a full scan of workers
    List(list::Args),
    /// Serves the bare calls that --limits compares with
    #[command(hide = true)]
    EchoServer,
}

pub(crate) fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    match command {
        Command::Invoke(args) => runtime.block_on(invoke::run(global, args)),
        Command::Populate(args) => runtime.block_on(populate::run(global, args)),
        Command::List(args) => runtime.block_on(list::run(global, args)),
        Command::EchoServer => runtime.block_on(limits::serve_echo()),
    }
}
