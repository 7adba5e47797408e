//! `kiln config`: show and check the configuration of a server.

use clap::Subcommand;
use serde_json::json;

use crate::{args::Global, config, server};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the effective configuration and where each value came from
    ///
    /// Example: KILN_LOG__LEVEL=debug kiln config dump --config kiln.toml
    Dump(server::Args),
    /// Check the configuration and tell all problems
    Check(server::Args),
}

pub(crate) fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Dump(args) => {
            let loaded = args.load()?;
            global
                .output()
                .print(&config::to_json(&loaded), || config::to_toml(&loaded))
        }
        Command::Check(args) => {
            args.load()?;
            global
                .output()
                .print(&json!({"ok": true}), || "the configuration is valid".to_owned())
        }
    }
}
