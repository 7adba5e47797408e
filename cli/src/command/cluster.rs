//! `kiln cluster`: found a cluster and look at it.

use std::time::Duration;

use clap::Subcommand;
use kiln_client::{Address, Client, Options};
use kiln_proto::{
    Error,
    convert::json,
    v1::{BootstrapRequest, GetClusterStatusResponse, NodeInfo},
};
use serde_json::Value as Json;

use crate::{args::Global, output::Progress};

/// How often a command that waits for the cluster looks.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Found a cluster, once, from managers that already run
    ///
    /// Example: kiln cluster bootstrap --managers m1:7400,m2:7400,m3:7400 --shards 64
    Bootstrap(Bootstrap),
    /// Say how the cluster is and what is missing
    Status,
    /// List nodes
    Nodes,
    /// List shards with their owner
    Shards,
    /// Move all shards away from an executor and wait until it holds none, so that it can be taken away for good
    ///
    /// A node that only restarts needs no drain: it hands its shards over when it is stopped.
    ///
    /// Example: kiln cluster drain kiln-4
    Drain(Drain),
    /// Retry what failed, and wait until replicas and owners are spread evenly
    Rebalance,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    /// Number, name or address of the executor, as `kiln cluster nodes` shows them
    node: String,
    /// Let it have shards again
    #[arg(long)]
    undo: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Bootstrap {
    /// Addresses of all managers, 1, 3 or 5, separated by commas
    #[arg(long, value_name = "HOST:PORT,…", required = true)]
    managers: String,
    /// Number of shards, a power of two up to 4096; it can never change
    #[arg(long, default_value_t = 16)]
    shards: u32,
    /// Nodes that keep each shard
    #[arg(long, default_value_t = 3)]
    replication_factor: u32,
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Bootstrap(args) => bootstrap(global, &args).await,
        Command::Status => status(global).await,
        Command::Nodes => nodes(global).await,
        Command::Shards => shards(global).await,
        Command::Drain(args) => drain(global, &args).await,
        Command::Rebalance => rebalance(global).await,
    }
}

async fn bootstrap(global: &Global, args: &Bootstrap) -> anyhow::Result<()> {
    let managers = Address::parse_list(&args.managers)?;
    let client = Client::new(Options {
        endpoints: managers.clone(),
        ..global.client_options()
    })?;
    let request = BootstrapRequest {
        managers: managers.iter().map(ToString::to_string).collect(),
        shards: args.shards,
        replication_factor: args.replication_factor,
    };
    let cluster_id = client.bootstrap(request).await?;
    global
        .output()
        .print(&serde_json::json!({ "clusterId": cluster_id }), || {
            format!("cluster {cluster_id}")
        })
}

async fn status(global: &Global) -> anyhow::Result<()> {
    let status = global.client()?.cluster_status().await?;
    global
        .output()
        .print(&json::cluster_status(&status), || describe(&status))
}

fn describe(status: &GetClusterStatusResponse) -> String {
    let mut lines = vec![
        format!("cluster    {}", status.cluster_id),
        format!(
            "shards     {} of {} have an owner",
            status.shards_with_owner, status.shards
        ),
        format!("replicas   {} of each shard", status.replication_factor),
        format!("managers   {}", status.managers),
        format!(
            "executors  {} of {} alive",
            status.executors_alive, status.executors
        ),
    ];
    lines.extend(status.storage.iter().map(|used| {
        format!(
            "storage    {}: {} keys of {} bytes; {} objects of {} bytes in {} containers",
            used.application, used.keys, used.key_bytes, used.objects, used.object_bytes, used.containers
        )
    }));
    lines.extend(
        status
            .problems
            .iter()
            .map(|problem| format!("problem    {problem}")),
    );
    lines.join("\n")
}

async fn drain(global: &Global, args: &Drain) -> anyhow::Result<()> {
    let client = global.client()?;
    let node = find(&client.nodes().await?, &args.node)?.node_id;
    client.drain_node(node, args.undo).await?;
    let mut done = serde_json::json!({ "node": json::node_id(node), "draining": !args.undo });
    if args.undo {
        return global
            .output()
            .print(&done, || format!("node {} can have shards again", args.node));
    }
    let bar = Progress::spinner("moving its shards away");
    loop {
        let nodes = client.nodes().await?;
        let node = find(&nodes, &args.node)?;
        if node.shards_owned == 0 && node.replicas == 0 {
            break;
        }
        bar.message(&format!(
            "it owns {} shards and has replicas of {}",
            node.shards_owned, node.replicas
        ));
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    bar.finish();
    done["replicas"] = 0.into();
    global.output().print(&done, || {
        format!(
            "node {} holds no shards any more and can be stopped for good",
            args.node
        )
    })
}

/// The node of that number, name or address.
fn find<'a>(nodes: &'a [NodeInfo], wanted: &str) -> Result<&'a NodeInfo, Error> {
    let is_it = |node: &&NodeInfo| {
        node.name == wanted || node.address == wanted || json::node_id(node.node_id) == wanted
    };
    let mut found = nodes.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (Some(_), Some(_)) => Err(Error::invalid(format!("several nodes are called {wanted}"))
            .with_hint("name it by its number, the first column of `kiln cluster nodes`")),
        (None, _) => Err(Error::not_found(format!("there is no node {wanted}"))
            .with_hint("`kiln cluster nodes` lists them with number, name and address")),
    }
}

async fn rebalance(global: &Global) -> anyhow::Result<()> {
    let client = global.client()?;
    let bar = Progress::spinner("looking at how shards are spread");
    let mut left = client.rebalance(true).await?;
    let most = left;
    while left > 0 {
        bar.message(&format!("{left} shards are still to be moved"));
        tokio::time::sleep(POLL_INTERVAL).await;
        left = client.rebalance(false).await?;
    }
    bar.finish();
    global.output().print(
        &serde_json::json!({ "shardsFoundOutOfPlace": most, "shardsLeft": 0 }),
        || "replicas and owners are spread evenly".to_owned(),
    )
}

async fn nodes(global: &Global) -> anyhow::Result<()> {
    let rows: Vec<Json> = global.client()?.nodes().await?.iter().map(json::node).collect();
    let fields = [
        "node",
        "name",
        "address",
        "role",
        "status",
        "shardsOwned",
        "replicas",
        "pid",
    ];
    let header = [
        "NODE", "NAME", "ADDRESS", "ROLE", "STATUS", "OWNED", "REPLICAS", "PID",
    ];
    global.output().print_rows(rows, header, fields)
}

async fn shards(global: &Global) -> anyhow::Result<()> {
    let rows: Vec<Json> = global.client()?.shards().await?.iter().map(json::shard).collect();
    let fields = ["shard", "owner", "epoch", "appliedIndex", "replicas"];
    let header = ["SHARD", "OWNER", "EPOCH", "APPLIED", "REPLICAS"];
    global.output().print_rows(rows, header, fields)
}
