//! `kiln cluster`: found a cluster and look at it.

use clap::Subcommand;
use kiln_client::{Address, Client, Options};
use kiln_proto::{
    convert::json,
    v1::{BootstrapRequest, GetClusterStatusResponse},
};
use serde_json::Value as Json;

use crate::{args::Global, output::Table};

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
    print_rows(global, rows, header, fields)
}

async fn shards(global: &Global) -> anyhow::Result<()> {
    let rows: Vec<Json> = global.client()?.shards().await?.iter().map(json::shard).collect();
    let fields = ["shard", "owner", "epoch", "appliedIndex", "replicas"];
    print_rows(
        global,
        rows,
        ["SHARD", "OWNER", "EPOCH", "APPLIED", "REPLICAS"],
        fields,
    )
}

fn print_rows<const N: usize>(
    global: &Global,
    rows: Vec<Json>,
    header: [&str; N],
    fields: [&str; N],
) -> anyhow::Result<()> {
    let mut table = Table::new(header);
    for row in &rows {
        table.row(fields.map(|field| cell(&row[field])));
    }
    global.output().print(&rows.into(), || table.text())
}

/// JSON as the text of a table's cell.
pub(crate) fn cell(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
