//! `kiln kv`: the keys of applications.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use bytes::Bytes;
use clap::Subcommand;
use kiln_proto::v1::{ChangeKeysRequest, GetKeysRequest, KeyChange, ListBucketsRequest, ListKeysRequest};
use serde_json::json;

use super::line;
use crate::{args::Global, output::Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the keys of a bucket, or the buckets
    List(List),
    /// Print the value of a key
    Get(Key),
    /// Set a key
    ///
    /// Example: kiln kv set settings colour blue
    Set(Set),
    /// Delete keys; those that do not exist are not missed
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The bucket; without one the buckets are listed
    bucket: Option<String>,
    /// Print at most so many
    #[arg(long, default_value_t = 1000)]
    limit: u32,
    #[command(flatten)]
    application: Application,
}

/// Whose keys and blobs.
#[derive(Debug, clap::Args)]
pub(crate) struct Application {
    /// The application that they belong to
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) application: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    bucket: String,
    key: String,
    #[command(flatten)]
    application: Application,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    bucket: String,
    key: String,
    /// The value as text
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    value: Option<String>,
    /// A file with the value
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    application: Application,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    bucket: String,
    #[arg(required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    application: Application,
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list(global, args).await,
        Command::Get(args) => get(global, args).await,
        Command::Set(args) => set(global, args).await,
        Command::Delete(args) => delete(global, args).await,
    }
}

async fn list(global: &Global, args: List) -> anyhow::Result<()> {
    let client = global.client()?;
    let application = args.application.application;
    let Some(bucket) = args.bucket else {
        let buckets = client
            .list_buckets(ListBucketsRequest { application })
            .await?
            .buckets;
        return global
            .output()
            .print(&json!({ "buckets": buckets }), || buckets.join("\n"));
    };
    let mut keys: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let wanted = args.limit - u32::try_from(keys.len()).unwrap_or(args.limit);
        let page = client
            .list_keys(ListKeysRequest {
                application: application.clone(),
                bucket: bucket.clone(),
                cursor,
                limit: wanted,
            })
            .await?;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_empty() || keys.len() >= args.limit as usize {
            break;
        }
    }
    keys.sort_unstable();
    let is_cut = !cursor.is_empty();
    if is_cut {
        super::note(&format!("there are more than {} keys; use --limit", args.limit));
    }
    global
        .output()
        .print(&json!({ "keys": keys, "more": is_cut }), || keys.join("\n"))
}

async fn get(global: &Global, args: Key) -> anyhow::Result<()> {
    let request = GetKeysRequest {
        application: args.application.application,
        bucket: args.bucket,
        keys: vec![args.key.clone()],
    };
    let found = global.client()?.get_keys(request).await?.keys;
    let Some(value) = found.into_iter().find_map(|found| found.value) else {
        return Err(kiln_client::Error::not_found(format!("there is no key \"{}\"", args.key)).into());
    };
    match global.output() {
        Format::Json => line(&format!("{:#}", described(&args.key, &value))),
        Format::Table => print_raw(&value),
    }
}

/// The bytes as text where they are one.
fn described(key: &str, value: &Bytes) -> serde_json::Value {
    match std::str::from_utf8(value) {
        Ok(text) => json!({ "key": key, "value": text, "size": value.len() }),
        Err(_) => json!({ "key": key, "bytes": value.to_vec(), "size": value.len() }),
    }
}

/// The bytes as they are, so that they can be piped on.
fn print_raw(value: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(value).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("write to stdout"),
    }
}

async fn set(global: &Global, args: Set) -> anyhow::Result<()> {
    let value = match (args.value, args.file) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(file)) => tokio::fs::read(&file)
            .await
            .with_context(|| format!("read {}", file.display()))?,
        (None, None) => Vec::new(),
    };
    let change = KeyChange {
        key: args.key,
        value: Some(value.into()),
        expires_at_ns: 0,
    };
    change_keys(global, args.application, args.bucket, vec![change]).await
}

async fn delete(global: &Global, args: Delete) -> anyhow::Result<()> {
    let change = |key| KeyChange {
        key,
        ..KeyChange::default()
    };
    let changes = args.keys.into_iter().map(change).collect();
    change_keys(global, args.application, args.bucket, changes).await
}

async fn change_keys(
    global: &Global,
    application: Application,
    bucket: String,
    changes: Vec<KeyChange>,
) -> anyhow::Result<()> {
    let count = changes.len();
    let request = ChangeKeysRequest {
        application: application.application,
        bucket,
        changes,
        idempotency_key: String::new(),
    };
    global.client()?.change_keys(request).await?;
    global.output().print(&json!({ "changed": count }), String::new)
}
