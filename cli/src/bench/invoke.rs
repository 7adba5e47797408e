//! `kiln bench invoke`: prepare the workers, load them, and read the costs before and after.

use std::{path::PathBuf, time::Duration};

use kiln_client::Client;

use super::{
    component,
    limits::Limits,
    load::{Load, Target},
    report::Report,
    server_cost::Servers,
};
use crate::{
    args::{Global, duration},
    output::Progress,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component
    #[arg(long, default_value = "counter")]
    component: String,
    /// The function
    #[arg(long, default_value = "test:counter/api.{increment}")]
    function: String,
    /// An argument as WAVE; repeat it for more. `{worker}` in it stands for the name of the worker that is called
    #[arg(
        long = "arg",
        value_name = "WAVE",
        default_value = "1",
        allow_hyphen_values = true
    )]
    args: Vec<String>,
    /// Call the function without arguments
    #[arg(long, conflicts_with = "args")]
    no_args: bool,
    /// Add this .wasm file as the component first, unless there is one of that name
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Calls in flight
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,
    /// Workers that are called
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    workers: u32,
    /// How long
    #[arg(short, long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Also measure what this machine can do at best: a synced write and a bare call
    #[arg(long)]
    limits: bool,
    /// Folder for the synced write of --limits; it should be on the servers' file system
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let client = Client::new(global.client_options())?;
    if let Some(file) = &args.file {
        component::ensure(&client, &args.component, file, Vec::new()).await?;
    }
    let load = Load {
        target: Target {
            component: args.component,
            function: args.function,
            arguments: if args.no_args { Vec::new() } else { args.args },
        },
        concurrency: args.concurrency,
        workers: args.workers,
        duration: args.duration,
    };
    let progress = Progress::spinner("warming up");
    load.warm_up(&client).await?;
    let servers = Servers::find(&client).await?;
    progress.message("calling");
    let before = servers.cost().await?;
    let measured = load.run(&client).await;
    let cost = servers.cost().await?.since(&before);
    let limits = if args.limits {
        progress.message("measuring the machine");
        Some(Limits::measure(args.dir.as_deref()).await?)
    } else {
        None
    };
    progress.finish();
    let report = Report {
        measured,
        cost,
        limits,
    };
    global.output().print(&report.json(), || report.text())
}
