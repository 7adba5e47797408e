//! `kiln worker update|revert|fork|cancel` and `kiln promise`: what rewrites a worker, or what it waits for.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use futures::StreamExt;
use kiln_client::Client;
use kiln_proto::{
    convert::{json, to_wave},
    v1::{
        CancelInvocationRequest, CompletePromiseRequest, ForkWorkerRequest, IndexedOplogEntry,
        RevertWorkerRequest, UpdateMode, UpdateRecord, UpdateWorkerRequest, WorkerRef, log_entry::Level,
        oplog_entry::Entry, revert_worker_request::Target,
    },
};
use serde_json::json;

use super::line;
use super::{refs, worker::done};
use crate::{args::Global, output::Format};

/// How often a worker is looked at that is being updated.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// Version of the component to move to
    version: u64,
    /// How the state gets there
    #[arg(long, value_enum, default_value = "automatic")]
    mode: Mode,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// Replay the whole oplog on the new version
    Automatic,
    /// The old version saves a snapshot and the new one loads it
    Snapshot,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub(crate) struct Revert {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// The last oplog index that is kept
    #[arg(long, value_name = "INDEX", group = "target")]
    to: Option<u64>,
    /// How many of the last invocations are undone
    #[arg(long, value_name = "N", group = "target")]
    last: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fork {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// Name of the new worker, of the same component
    new_name: String,
    /// The last oplog index that the new worker shares with the old one
    #[arg(long, value_name = "INDEX")]
    at: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// Idempotency key of an invocation that waits for its turn
    key: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// First oplog index; a little before now if not given
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
}

/// `kiln promise`
#[derive(Debug, Subcommand)]
pub(crate) enum PromiseCommand {
    /// Give a promise its value; the first value counts
    Complete(Complete),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("value").required(true))]
pub(crate) struct Complete {
    /// COMPONENT/WORKER that made the promise
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// Oplog index of the promise
    index: u64,
    /// The value, as text
    #[arg(long, value_name = "TEXT", group = "value")]
    data: Option<String>,
    /// A file with the value
    #[arg(long, value_name = "FILE", group = "value")]
    data_file: Option<PathBuf>,
}

pub(super) async fn update(global: &Global, client: &Client, args: Update) -> anyhow::Result<()> {
    let mode = match args.mode {
        Mode::Automatic => UpdateMode::Automatic,
        Mode::Snapshot => UpdateMode::SnapshotBased,
    };
    let request = UpdateWorkerRequest {
        worker: Some(args.worker.clone()),
        version: args.version,
        mode: mode.into(),
        ..UpdateWorkerRequest::default()
    };
    let before = client.get_worker(args.worker.clone()).await?.oplog_index;
    client.update_worker(request).await?;
    let ended = tokio::time::timeout(global.timeout(), until_ended(client, &args, before)).await;
    let in_time = ended.map_err(|_| {
        kiln_proto::Error::deadline_exceeded(format!("the update to version {} waits still", args.version))
            .with_hint("`kiln worker get` shows when it is done; the worker may be busy")
    });
    in_time??;
    done(global, &args.worker, "updated")
}

/// Waits until the update that was asked for behind `before` has come to its end.
async fn until_ended(client: &Client, args: &Update, before: u64) -> Result<(), kiln_proto::Error> {
    let is_ours =
        |update: &&UpdateRecord| update.target_version == args.version && update.oplog_index > before;
    loop {
        let worker = client.get_worker(args.worker.clone()).await?;
        if worker.successful_updates.iter().any(|update| is_ours(&update)) {
            return Ok(());
        }
        if let Some(failed) = worker.failed_updates.iter().find(is_ours) {
            let details = failed.details.clone().unwrap_or_default();
            return Err(kiln_proto::Error::worker_failed(format!(
                "the update to version {} failed: {details}",
                args.version
            )));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

pub(super) async fn revert(global: &Global, client: &Client, args: Revert) -> anyhow::Result<()> {
    let to_index = args.to.map(Target::ToIndex);
    let request = RevertWorkerRequest {
        worker: Some(args.worker.clone()),
        target: to_index.or(args.last.map(Target::LastInvocations)),
        ..RevertWorkerRequest::default()
    };
    client.revert_worker(request).await?;
    done(global, &args.worker, "reverted")
}

pub(super) async fn fork(global: &Global, client: &Client, args: Fork) -> anyhow::Result<()> {
    let request = ForkWorkerRequest {
        source: Some(args.worker.clone()),
        target: args.new_name.clone(),
        cutoff: args.at,
        ..ForkWorkerRequest::default()
    };
    client.fork_worker(request).await?;
    let made = WorkerRef {
        worker: args.new_name,
        ..args.worker
    };
    done(global, &made, "forked")
}

pub(super) async fn cancel(global: &Global, client: &Client, args: Cancel) -> anyhow::Result<()> {
    let request = CancelInvocationRequest {
        worker: Some(args.worker),
        idempotency_key: args.key,
    };
    let cancelled = client.cancel_invocation(request).await?;
    global.output().print(&json!({"cancelled": cancelled}), || {
        if cancelled {
            "cancelled".to_owned()
        } else {
            "not cancelled: it runs or has ended".to_owned()
        }
    })
}

/// Goes on until the worker is deleted or the reader goes away.
pub(super) async fn connect(global: &Global, client: &Client, args: Connect) -> anyhow::Result<()> {
    let events = client.connect_worker(args.worker, args.from);
    tokio::pin!(events);
    while let Some(event) = events.next().await {
        let event = event?;
        match global.output() {
            // One line an event, so that a reader can tell where it ends.
            Format::Json => line(&json::oplog_entry(&event).to_string())?,
            Format::Table => line(&text_of(&event))?,
        }
    }
    Ok(())
}

fn text_of(event: &IndexedOplogEntry) -> String {
    let entry = event.entry.as_ref().and_then(|entry| entry.entry.as_ref());
    match entry {
        Some(Entry::Log(log)) => match log.level() {
            Level::Stdout => log.message.clone(),
            level => format!("[{}] {}", level.as_str_name().to_lowercase(), log.message),
        },
        Some(Entry::ExportedFunctionInvoked(call)) => {
            format!("[begun] {} {}", call.function_name, call.idempotency_key)
        }
        Some(Entry::ExportedFunctionCompleted(done)) => {
            let result = done.response.as_ref().map(to_wave).unwrap_or_default();
            format!("[completed] {result}").trim_end().to_owned()
        }
        Some(Entry::Error(error)) => format!("[failed] {}", error.message),
        Some(Entry::Interrupted(_)) => "[interrupted]".to_owned(),
        Some(Entry::Exited(_)) => "[exited]".to_owned(),
        _ => String::new(),
    }
}

pub(super) async fn promise(global: &Global, command: PromiseCommand) -> anyhow::Result<()> {
    let PromiseCommand::Complete(args) = command;
    let data = match (args.data, args.data_file) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(path)) => std::fs::read(&path).with_context(|| format!("read {}", path.display()))?,
        (None, None) => Vec::new(),
    };
    let request = CompletePromiseRequest {
        worker: Some(args.worker),
        oplog_index: args.index,
        data: data.into(),
        ..CompletePromiseRequest::default()
    };
    let completed = global.client()?.complete_promise(request).await?;
    global.output().print(&json!({"completed": completed}), || {
        if completed {
            "completed".to_owned()
        } else {
            "not completed: it has a value already".to_owned()
        }
    })
}
