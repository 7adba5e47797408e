//! `kiln server`: one node of a cluster.

use std::path::PathBuf;

use anyhow::Context;

use crate::{
    config::{self, Config, Flags, Loaded, Problems, Role},
    node::{Listeners, Node},
    output, process,
};

/// Runs one node until SIGTERM or SIGINT.
///
/// Settings come from defaults, then --config, then KILN_SECTION__KEY variables, then the flags below; see `kiln config dump`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kiln server --role manager --data /var/lib/kiln --listen 10.0.0.1:7400 --managers 10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400
  kiln server --role executor --data /var/lib/kiln --listen 10.0.0.4:7400 --managers 10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400
  kiln cluster bootstrap --managers 10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400      (once)")]
pub(crate) struct Args {
    /// Settings, a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What the node does
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Its name in tables and logs
    #[arg(long)]
    name: Option<String>,
    /// Its data folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where it serves gRPC
    #[arg(long, value_name = "HOST:PORT", visible_alias = "grpc")]
    listen: Option<String>,
    /// Where others reach it, when that is not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where it serves HTTP
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Addresses of all managers, separated by commas
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    managers: Option<Vec<String>>,
    /// Where the cluster can be reached besides its nodes' own listeners, separated by commas: closed to guests
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    edges: Option<Vec<String>>,
    /// What is logged: error, warn, info, debug, trace, or directives like info,kiln_store=debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// The process that started this one, and with which it ends
    #[arg(long, hide = true)]
    parent: Option<u32>,
}

impl Args {
    /// The configuration that file, environment and these flags amount to.
    pub(crate) fn load(self) -> Result<Loaded, Problems> {
        let mut flags = Vec::new();
        let mut set =
            |key, value: Option<figment::value::Value>| flags.extend(value.map(|value| (key, value)));
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        set("node.role", self.role.map(role_name).map(Into::into));
        set("node.name", self.name.map(Into::into));
        set("node.data", self.data.map(|path| text(path).into()));
        set("node.listen", self.listen.map(Into::into));
        set("node.advertise", self.advertise.map(Into::into));
        set("node.http", self.http.map(Into::into));
        set("cluster.managers", self.managers.map(Into::into));
        set("cluster.edges", self.edges.map(Into::into));
        set("log.level", self.log_level.map(Into::into));
        config::load(self.config.as_deref(), Flags(flags))
    }
}

/// A role as `--role` spells it.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Manager => "manager",
        Role::Executor => "executor",
        Role::All => "all",
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let parent = args.parent;
    let Loaded { config, .. } = args.load()?;
    process::start_logging(&config.log)?;
    if let Some(parent) = parent {
        process::end_with_parent(parent)?;
    }
    process::raise_file_limit();
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(serve(&config))
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut shutdown = process::Shutdown::listen()?;
    let listeners = Listeners::bind(&config.node.listen, &config.node.http).await?;
    let (grpc, http) = listeners.addresses()?;
    let mut node = Node::start(config, listeners).await?;
    output::line(&format!("ready grpc={grpc} http={http}"))?;
    let result = tokio::select! {
        result = node.failure() => result,
        () = shutdown.wished() => Ok(()),
    };
    node.stop().await;
    result
}
