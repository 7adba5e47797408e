//! `kiln up`: a whole cluster on this machine.
//!
//! * [`topology`] – which nodes there are and where; chosen once, kept in the data folder
//! * [`in_process`] – the nodes inside this process; [`processes`] – each in a child, behind a stateless edge
//! * [`child`] – one supervised child process
//! * [`ready`] – founding the cluster, and when it serves

mod child;
mod in_process;
mod processes;
mod ready;
mod topology;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context;
use kiln_client::Error;

use self::{
    in_process::InProcess,
    processes::Processes,
    topology::{Topology, Wish},
};
use crate::{
    args::{DEFAULT_GRPC, DEFAULT_HTTP},
    config::{self, Config, Flags},
    node::Listeners,
    output, process,
};

/// Runs a whole cluster on this machine until SIGTERM or SIGINT.
///
/// It prints `ready grpc=ADDR http=ADDR` on stdout once every shard has an owner. Started again on the same data folder, it
/// has everything. The log goes to stderr.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  kiln up                               one node; data in ~/.local/share/kiln
  kiln up --data ./data --grpc 127.0.0.1:0 --http 127.0.0.1:0
  kiln up --nodes 3 --processes         three executors and three managers, each a process that can be killed")]
pub(crate) struct Args {
    /// The data folder; `kiln` in the user's data folder (XDG_DATA_HOME) if not given
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Nodes; 1 on an empty data folder. From 3 on every shard is kept on three of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    nodes: Option<u32>,
    /// Run each manager and executor as a child process
    #[arg(long)]
    processes: bool,
    /// Where to serve gRPC
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_GRPC)]
    grpc: String,
    /// Where to serve HTTP
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_HTTP)]
    http: String,
    /// Number of shards, a power of two up to 4096; fixed at the first start [default: 16]
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    /// Settings of all nodes, a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let mut config = config::load(args.config.as_deref(), Flags(vec![("node.role", "all".into())]))?;
    if config.is_default("log.level") {
        // People look at this stderr; a server's goes to a file.
        config.config.log.level = "warn,openraft=off".to_owned();
    }
    process::start_logging(&config.config.log)?;
    process::raise_file_limit();
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(serve(args, config.config))
}

/// The nodes, whether they live here or in children.
enum Nodes {
    Here(InProcess),
    Children(Processes),
}

async fn serve(args: Args, config: Config) -> anyhow::Result<()> {
    let mut shutdown = process::Shutdown::listen()?;
    let data = args.data.clone().unwrap_or_else(default_data);
    let _lock = lock(&data).await?;
    let topology = Topology::open(
        &data,
        Wish {
            nodes: args.nodes,
            processes: args.processes,
            shards: args.shards,
        },
    )?;
    let listeners = Listeners::bind(&args.grpc, &args.http).await?;
    let (grpc, http) = listeners.addresses()?;
    let mut nodes = if topology.processes {
        Nodes::Children(Processes::start(&topology, &data, &config, args.config.as_deref(), listeners).await?)
    } else {
        Nodes::Here(InProcess::start(&topology, &data, &config, listeners).await?)
    };
    let served = async {
        ready::wait(&topology, &grpc).await?;
        output::line(&format!("ready grpc={grpc} http={http}"))?;
        nodes.failure().await
    };
    let result = tokio::select! {
        result = served => result,
        () = shutdown.wished() => Ok(()),
    };
    nodes.stop().await;
    result
}

impl Nodes {
    /// Returns when a node has failed for good.
    async fn failure(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Here(nodes) => nodes.failure().await,
            Self::Children(nodes) => nodes.failure().await,
        }
    }

    async fn stop(self) {
        match self {
            Self::Here(nodes) => nodes.stop().await,
            Self::Children(nodes) => nodes.stop().await,
        }
    }
}

/// Keeps a second `kiln up` off the data folder as long as the file is held.
async fn lock(data: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(data).with_context(|| format!("make the data folder {}", data.display()))?;
    let file =
        File::create(data.join("LOCK")).with_context(|| format!("open the lock of {}", data.display()))?;
    match process::patiently(|_| true, || std::future::ready(file.try_lock())).await {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::conflict(format!(
            "the data folder {} is used by another `kiln up`",
            data.display()
        ))
        .with_hint("stop that one, or name another folder with --data")
        .into()),
    }
}

/// Where `kiln up` keeps its data unless told otherwise: `kiln` in the user's data folder (XDG).
pub(crate) fn default_data() -> PathBuf {
    let home = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    home("XDG_DATA_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("kiln")
}
