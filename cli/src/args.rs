//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use kiln_client::{Address, Client, Options};

use crate::{bench, command, output::Format};

/// Where `kiln up` listens, and client commands look, unless told otherwise.
pub(crate) const DEFAULT_GRPC: &str = "127.0.0.1:7400";
/// Where `kiln up` serves HTTP unless told otherwise.
pub(crate) const DEFAULT_HTTP: &str = "127.0.0.1:7401";

/// Durable WebAssembly workers on a cluster.
///
/// Start a cluster on this machine with `kiln up`, add a component, and call a worker: it is created by its first call,
/// keeps its state through crashes and restarts, and answers a repeated idempotency key with the recorded result.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "\
Examples:
  kiln up                                                     serve on 127.0.0.1:7400 (gRPC) and 127.0.0.1:7401 (HTTP)
  kiln component add counter counter.wasm
  kiln worker invoke counter/c1 'test:counter/api.{increment}' 5
  kiln worker list counter -o json

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 unavailable (a retry may help)")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print data as a table for people or as JSON for programs
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    output: Format,
    /// Nodes to ask, separated by commas: host:port or http://host:port
    #[arg(long, global = true, env = "KILN_ENDPOINT", default_value = DEFAULT_GRPC, value_name = "URL", value_parser = endpoints)]
    endpoint: Endpoints,
    /// Longest time for a call with all its retries, for example 500ms or 2m
    #[arg(long, global = true, default_value = "30s", value_name = "DURATION", value_parser = duration)]
    timeout: Duration,
}

/// The parsed `--endpoint`.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints(Vec<Address>);

impl Global {
    pub(crate) fn output(&self) -> Format {
        self.output
    }

    /// The longest time that a command may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What `--endpoint` and `--timeout` say.
    pub(crate) fn client_options(&self) -> Options {
        Options {
            deadline: self.timeout,
            ..Options::new(self.endpoint.0.clone())
        }
    }

    /// A client for one command: it asks the endpoint, which forwards, because learning the routes costs more
    /// than it saves for a single call.
    pub(crate) fn client(&self) -> Result<Client, kiln_client::Error> {
        Client::new(Options {
            direct: false,
            ..self.client_options()
        })
    }
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole cluster on this machine
    Up(crate::up::Args),
    /// Run one node of a cluster
    Server(crate::server::Args),
    /// Add, update and look at components
    #[command(subcommand)]
    Component(command::component::Command),
    /// Call, create and look at workers
    #[command(subcommand)]
    Worker(command::worker::Command),
    /// List, read and write the keys of applications
    #[command(subcommand)]
    Kv(command::kv::Command),
    /// List, read and write the blobs of applications
    #[command(subcommand)]
    Blob(command::blob::Command),
    /// Complete what workers wait for
    #[command(subcommand)]
    Promise(command::control::PromiseCommand),
    /// Found a cluster and look at it
    #[command(subcommand)]
    Cluster(command::cluster::Command),
    /// Measure a running cluster
    #[command(subcommand)]
    Bench(bench::Command),
    /// Show and check the configuration of a server
    #[command(subcommand)]
    Config(command::config::Command),
    /// Print a completion script for a shell
    Completion(command::completion::Args),
    /// Print the version
    Version,
}

/// Reads a duration like `10s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write for example 10s or 500ms"))
}

fn endpoints(text: &str) -> Result<Endpoints, String> {
    Address::parse_list(text)
        .map(Endpoints)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn negative_numbers_are_arguments() {
        let line = [
            "kiln", "worker", "invoke", "c/w", "f", "-1", "--key", "k", "-o", "json",
        ];
        assert!(Cli::try_parse_from(line).is_ok());
    }
}
