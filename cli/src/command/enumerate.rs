//! `kiln worker list` and `count`: pages, everything, or what changes from now on.

use std::time::Duration;

use kiln_client::{Client, Error};
use kiln_proto::{
    convert::{json, rfc3339},
    ids::NodeId,
    v1::{
        CountWorkersRequest, CountWorkersResponse, ListWorkersRequest, ListWorkersResponse, ShardPart,
        WatchWorkersRequest, WorkerEvent,
    },
};
use serde_json::json;

use super::note;
use crate::{args::Global, output, output::Format, output::Table};

/// A count is repeated at most this often while workers change.
const RECOUNT_INTERVAL: Duration = Duration::from_millis(200);

/// Which workers, and how they are looked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Only workers of this component
    component: Option<String>,
    /// Condition, for example 'status = idle'; several must all hold
    #[arg(long, value_name = "EXPR")]
    filter: Vec<String>,
    /// Ask the owners instead of the nearest replicas
    #[arg(long)]
    precise: bool,
    /// Say on stderr what each shard did: index, rows, time
    #[arg(long)]
    explain: bool,
    /// Show what there is when shards do not answer; the exit code is 5 then
    #[arg(long)]
    partial: bool,
    /// Go on with what changes
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
    /// Rows a page
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Continue after an earlier page
    #[arg(long, default_value = "", hide_default_value = true)]
    cursor: String,
    /// All pages
    #[arg(long, conflicts_with = "cursor")]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Count {
    #[command(flatten)]
    which: Which,
}

impl Which {
    fn watch_request(&self) -> WatchWorkersRequest {
        WatchWorkersRequest {
            component: self.component.clone().unwrap_or_default(),
            filters: self.filter.clone(),
            cursor: String::new(),
        }
    }
}

pub(crate) async fn list(global: &Global, client: &Client, args: List) -> anyhow::Result<()> {
    // Begun before the list is read, so that no change falls between the two.
    let mut watch = args
        .which
        .watch
        .then(|| client.watch_workers(args.which.watch_request()));
    if let Some(watch) = &mut watch {
        watch.next().await?;
    }
    let list = read(client, &args).await?;
    explain(&list.parts);
    global
        .output()
        .print(&json::worker_list(&list), || table_of(&list))?;
    if !list.cursor.is_empty() {
        note(&format!("more with --cursor {} or --all", list.cursor));
    }
    check_whole(&list.missing_shards)?;
    let Some(mut watch) = watch else { return Ok(()) };
    loop {
        let message = watch.next().await?;
        if message.reset {
            note("warning: changes have been missed; list again");
        }
        for event in &message.events {
            show(global, event)?;
        }
    }
}

async fn read(client: &Client, args: &List) -> anyhow::Result<ListWorkersResponse> {
    let request = ListWorkersRequest {
        component: args.which.component.clone().unwrap_or_default(),
        filters: args.which.filter.clone(),
        precise: args.which.precise,
        limit: args.limit,
        cursor: args.cursor.clone(),
        explain: args.which.explain,
        allow_partial: args.which.partial,
    };
    if !args.all {
        return Ok(client.list_workers(request).await?);
    }
    let mut pages = client.stream_workers(ListWorkersRequest { limit: 0, ..request });
    let mut list: Option<ListWorkersResponse> = None;
    while let Some(page) = pages.next().await? {
        match &mut list {
            None => list = Some(page),
            Some(list) => append(list, page),
        }
    }
    let mut list = list.unwrap_or_else(|| ListWorkersResponse {
        as_of_ns: kiln_proto::convert::now_ns(),
        ..ListWorkersResponse::default()
    });
    list.cursor.clear();
    Ok(list)
}

/// Adds the next page. The whole is as old as its oldest part.
fn append(list: &mut ListWorkersResponse, next: ListWorkersResponse) {
    list.workers.extend(next.workers);
    list.as_of_ns = list.as_of_ns.min(next.as_of_ns);
    list.missing_shards.extend(next.missing_shards);
    for part in next.parts {
        match list.parts.last_mut().filter(|last| last.shard == part.shard) {
            Some(last) => {
                last.as_of_ns = last.as_of_ns.min(part.as_of_ns);
                last.rows_examined += part.rows_examined;
                last.rows_returned += part.rows_returned;
                last.elapsed_us += part.elapsed_us;
            }
            None => list.parts.push(part),
        }
    }
}

fn table_of(list: &ListWorkersResponse) -> String {
    let mut table = Table::new(["WORKER", "STATUS", "VERSION", "PENDING", "OPLOG", "CREATED"]);
    for worker in &list.workers {
        table.row([
            format!("{}/{}", worker.component, worker.worker),
            json::status_name(worker.status()).to_owned(),
            worker.version.to_string(),
            worker.pending_invocations.to_string(),
            worker.oplog_index.to_string(),
            rfc3339(worker.created_at_ns),
        ]);
    }
    table.text()
}

fn show(global: &Global, event: &WorkerEvent) -> anyhow::Result<()> {
    match global.output() {
        // One line an event, so that a reader can tell where it ends.
        Format::Json => output::line(&json::worker_event(event).to_string()),
        Format::Table => {
            let status = event
                .info
                .as_ref()
                .map_or("", |info| json::status_name(info.status()));
            let kind = json::change_kind(event.kind());
            output::line(format!("{kind:8} {}/{} {status}", event.component, event.worker).trim_end())
        }
    }
}

pub(crate) async fn count(global: &Global, client: &Client, args: Count) -> anyhow::Result<()> {
    let Count { which } = args;
    let mut watch = which.watch.then(|| client.watch_workers(which.watch_request()));
    if let Some(watch) = &mut watch {
        watch.next().await?;
    }
    let request = CountWorkersRequest {
        component: which.component.unwrap_or_default(),
        filters: which.filter,
        precise: which.precise || which.watch,
        explain: which.explain,
        allow_partial: which.partial,
    };
    let count = client.count_workers(request.clone()).await?;
    explain(&count.parts);
    print_count(global, &count, true)?;
    check_whole(&count.missing_shards)?;
    let Some(mut watch) = watch else { return Ok(()) };
    let mut last = count.count;
    loop {
        watch.next().await?;
        // What comes in quick succession is counted once.
        let recount_at = tokio::time::Instant::now() + RECOUNT_INTERVAL;
        while let Ok(message) = tokio::time::timeout_at(recount_at, watch.next()).await {
            message?;
        }
        let count = client.count_workers(request.clone()).await?;
        if count.count != last {
            last = count.count;
            print_count(global, &count, false)?;
        }
    }
}

/// The first count is printed as any result; those that follow take one line each.
fn print_count(global: &Global, count: &CountWorkersResponse, is_first: bool) -> anyhow::Result<()> {
    let json = json::count(count);
    match global.output() {
        Format::Json if !is_first => output::line(&json.to_string()),
        format => format.print(&json, || count.count.to_string()),
    }
}

/// What each shard did, if that was asked for.
fn explain(parts: &[ShardPart]) {
    if parts.iter().all(|part| part.index.is_empty()) {
        return;
    }
    let mut table = Table::new(["SHARD", "NODE", "INDEX", "EXAMINED", "RETURNED", "MICROSECONDS"]);
    for part in parts {
        table.row([
            part.shard.to_string(),
            NodeId(part.node_id).to_string(),
            part.index.clone(),
            part.rows_examined.to_string(),
            part.rows_returned.to_string(),
            part.elapsed_us.to_string(),
        ]);
    }
    note(&table.text());
}

/// A partial answer has been printed; the exit code says that it is one.
fn check_whole(missing_shards: &[u32]) -> anyhow::Result<()> {
    if missing_shards.is_empty() {
        return Ok(());
    }
    let missing = json!(missing_shards);
    Err(
        Error::unavailable(format!("the answer is partial: shards {missing} did not answer"))
            .with_hint("start the missing nodes, and ask again")
            .into(),
    )
}
