//! What each command does, one noun a file.

pub(crate) mod blob;
pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod component;
pub(crate) mod config;
pub(crate) mod enumerate;
mod files;
pub(crate) mod kv;
mod refs;
pub(crate) mod worker;

use anyhow::Context;

use crate::{
    args::{Cli, Command},
    bench, output, server, up,
};

/// Runs the command to its end.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { global, command } = cli;
    match command {
        Command::Up(args) => up::run(args),
        Command::Server(args) => server::run(args),
        Command::Component(command) => client_runtime()?.block_on(component::run(&global, command)),
        Command::Worker(command) => client_runtime()?.block_on(worker::run(&global, command)),
        Command::Kv(command) => client_runtime()?.block_on(kv::run(&global, command)),
        Command::Blob(command) => client_runtime()?.block_on(blob::run(&global, command)),
        Command::Cluster(command) => client_runtime()?.block_on(cluster::run(&global, command)),
        Command::Bench(command) => bench::run(&global, command),
        Command::Config(command) => config::run(&global, command),
        Command::Completion(args) => completion::run(&args),
        Command::Version => version(&global),
    }
}

/// One thread is enough for a command that makes a call or two.
fn client_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")
}

fn version(global: &crate::args::Global) -> anyhow::Result<()> {
    let version = kiln_proto::VERSION;
    global
        .output()
        .print(&serde_json::json!({ "version": version }), || {
            format!("kiln {version}")
        })?;
    Ok(())
}

/// Warns on stderr, where it does not disturb what reads the data.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

pub(crate) use output::line;
