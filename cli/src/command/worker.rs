//! `kiln worker`: call, create and look at workers.

use clap::Subcommand;
use kiln_client::Client;
use kiln_proto::{
    convert::{json, to_wave},
    v1::{
        CreateWorkerRequest, GetOplogRequest, GetOplogResponse, InvokeRequest, KeyValue, WaveArguments,
        WorkerInfo, WorkerRef, invoke_request::Arguments,
    },
};
use serde_json::{Value as Json, json};

use super::{control, enumerate, files, refs};
use crate::{
    args::Global,
    failure::Usage,
    output::{Table, cell},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a worker without calling it
    ///
    /// Example: kiln worker create counter/c1 --env LEVEL=debug -- first second
    Create(Create),
    /// Call an exported function and wait for its result; the worker is created by its first call
    #[command(after_help = "\
Arguments are WAVE texts, one for each parameter:
  kiln worker invoke counter/c1 'test:counter/api.{increment}' 5
  kiln worker invoke shop/cart-7 'acme:shop/cart.{add}' '{sku: \"A-1\", count: 2}' --key order-4711
  kiln worker invoke shop/cart-7 cart.{add} --args-json '[{\"sku\": \"A-1\", \"count\": 2}]'
A call that is repeated with the same --key gets the recorded result and does not run again.")]
    Invoke(Invoke),
    /// Show a worker
    Get(Name),
    /// Delete a worker with its oplog
    Delete(Name),
    /// Stop what a worker runs, until it is resumed or called again
    Interrupt(Name),
    /// Let an interrupted or suspended worker go on
    Resume(Resume),
    /// Drop a worker's instance and recover it, as after a crash
    SimulateCrash(Name),
    /// Move a worker to another version of its component
    Update(control::Update),
    /// Take a worker back to an earlier point
    Revert(control::Revert),
    /// Make a new worker from the beginning of another one's oplog
    Fork(control::Fork),
    /// Follow what a worker writes and runs: stdout, stderr, logs and invocations
    Connect(control::Connect),
    /// Cancel an invocation that waits for its turn
    Cancel(control::Cancel),
    /// List workers
    List(enumerate::List),
    /// Count workers
    Count(enumerate::Count),
    /// Show a worker's operation log
    Oplog(Oplog),
    /// List a folder of a worker, or print a file
    Files(files::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Name {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// Environment variable; wins over the component's own
    #[arg(long, value_name = "KEY=VALUE", value_parser = refs::pair)]
    env: Vec<KeyValue>,
    /// Configuration variable
    #[arg(long, value_name = "KEY=VALUE", value_parser = refs::pair)]
    config: Vec<KeyValue>,
    /// Version of the component; the latest one if not given
    #[arg(long)]
    version: Option<u64>,
    /// Command line arguments of the worker
    #[arg(last = true, value_name = "ARG")]
    args: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Invoke {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// ns:pkg/iface@version.{func}; version and package may be left out where that is unambiguous
    function: String,
    /// Arguments, as WAVE
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    args: Vec<String>,
    /// Idempotency key; a fresh random one if not given
    #[arg(long)]
    key: Option<String>,
    /// Return as soon as the call is durably queued
    #[arg(long)]
    no_wait: bool,
    /// Arguments as one JSON array
    #[arg(long, value_name = "JSON", conflicts_with = "args")]
    args_json: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// Whatever its status is
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Oplog {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// First index
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only entries that contain this: words, "a phrase", /a regex/, field:text, with AND, OR, NOT and parentheses
    #[arg(long, default_value = "", hide_default_value = true)]
    query: String,
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let client = global.client()?;
    match command {
        Command::Create(args) => create(global, &client, args).await,
        Command::Invoke(args) => invoke(global, &client, args).await,
        Command::Get(Name { worker }) => show(global, &client.get_worker(worker).await?),
        Command::Delete(Name { worker }) => {
            client.delete_worker(worker.clone()).await?;
            done(global, &worker, "deleted")
        }
        Command::Interrupt(Name { worker }) => {
            client.interrupt_worker(worker.clone(), false).await?;
            done(global, &worker, "interrupted")
        }
        Command::Resume(Resume { worker, force }) => {
            client.resume_worker(worker.clone(), force).await?;
            done(global, &worker, "resumed")
        }
        Command::Update(args) => control::update(global, &client, args).await,
        Command::Revert(args) => control::revert(global, &client, args).await,
        Command::Fork(args) => control::fork(global, &client, args).await,
        Command::Connect(args) => control::connect(global, &client, args).await,
        Command::Cancel(args) => control::cancel(global, &client, args).await,
        Command::SimulateCrash(Name { worker }) => {
            client.interrupt_worker(worker.clone(), true).await?;
            done(global, &worker, "crashed")
        }
        Command::List(args) => enumerate::list(global, &client, args).await,
        Command::Count(args) => enumerate::count(global, &client, args).await,
        Command::Files(args) => files::run(global, &client, args).await,
        Command::Oplog(args) => oplog(global, &client, args).await,
    }
}

async fn create(global: &Global, client: &Client, args: Create) -> anyhow::Result<()> {
    let Create {
        worker,
        env,
        config,
        version,
        args,
    } = args;
    let request = CreateWorkerRequest {
        worker: Some(worker),
        args,
        env,
        config,
        version,
        ignore_existing: false,
        parent: None,
    };
    show(global, &client.create_worker(request).await?)
}

async fn invoke(global: &Global, client: &Client, args: Invoke) -> anyhow::Result<()> {
    let arguments = match args.args_json {
        Some(text) => {
            serde_json::from_str::<Vec<Json>>(&text)
                .map_err(|error| Usage(format!("--args-json must be a JSON array: {error}")))?;
            Arguments::Json(text)
        }
        None => Arguments::Wave(WaveArguments { values: args.args }),
    };
    let request = InvokeRequest {
        worker: Some(args.worker),
        function: args.function,
        idempotency_key: args.key.unwrap_or_default(),
        no_wait: args.no_wait,
        arguments: Some(arguments),
        ..InvokeRequest::default()
    };
    let response = client.invoke(request).await?;
    let wave = response.result.as_ref().map(to_wave);
    let json = json!({
        "result": response.result.as_ref().map(json::value),
        "wave": wave,
        "idempotencyKey": response.idempotency_key,
    });
    global.output().print(&json, || match wave {
        None if args.no_wait => response.idempotency_key,
        wave => wave.unwrap_or_default(),
    })
}

fn show(global: &Global, worker: &WorkerInfo) -> anyhow::Result<()> {
    let json = json::worker(worker);
    global.output().print(&json, || {
        let fields = json.as_object().into_iter().flatten();
        let lines: Vec<String> = fields
            .map(|(name, value)| format!("{name:22} {}", cell(value)))
            .collect();
        lines.join("\n")
    })
}

pub(super) fn done(global: &Global, worker: &WorkerRef, what: &str) -> anyhow::Result<()> {
    let WorkerRef { component, worker } = worker;
    let json = json!({"component": component, "worker": worker, what: true});
    global
        .output()
        .print(&json, || format!("{what} {component}/{worker}"))
}

async fn oplog(global: &Global, client: &Client, args: Oplog) -> anyhow::Result<()> {
    let mut request = GetOplogRequest {
        worker: Some(args.worker),
        from: args.from,
        limit: 0,
        query: args.query,
        wait_ms: 0,
    };
    let mut entries = Vec::new();
    loop {
        let GetOplogResponse { entries: page, next } = client.oplog(request.clone()).await?;
        entries.extend(page.iter().map(json::oplog_entry));
        if next == 0 {
            break;
        }
        request.from = next;
    }
    global.output().print(&json!({ "entries": entries }), || {
        let mut table = Table::new(["INDEX", "TIMESTAMP", "TYPE", "DETAILS"]);
        for entry in &entries {
            table.row([
                cell(&entry["index"]),
                cell(&entry["timestamp"]),
                cell(&entry["type"]),
                details(entry),
            ]);
        }
        table.text()
    })
}

/// The fields of an entry that have no column of their own.
fn details(entry: &Json) -> String {
    let fields = entry.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| !["index", "timestamp", "type"].contains(&name.as_str()))
        .filter(|(_, value)| **value != json!([]) && **value != json!("") && !value.is_null())
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}
