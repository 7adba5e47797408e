//! `kiln component`: add, update and look at components.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use bytes::Bytes;
use clap::Subcommand;
use kiln_client::Upload;
use kiln_proto::{
    convert::{json, rfc3339},
    v1::{ComponentVersion, GetComponentResponse, InitialFile, KeyValue, UploadHeader},
};
use serde_json::{Value as Json, json};

use super::refs::{self, FileRef};
use crate::{
    args::Global,
    output::{Progress, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a component under a new name
    ///
    /// Example: kiln component add counter counter.wasm --env GREETING=hello
    Add(Add),
    /// Give a component its next version; existing workers stay on theirs
    Update(Update),
    /// List components
    List,
    /// Show a component: what it exports and imports
    Get(Get),
    /// Remove a component that has no workers, with all its versions
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Its name
    name: String,
    /// The component, a .wasm file
    file: PathBuf,
    /// Give every invocation a fresh instance
    #[arg(long)]
    ephemeral: bool,
    /// The application whose keys and blobs its workers use
    #[arg(long, default_value = "default", value_name = "NAME")]
    application: String,
    /// Environment variable of all its workers
    #[arg(long, value_name = "KEY=VALUE", value_parser = refs::pair)]
    env: Vec<KeyValue>,
    /// File that all its workers find; each has a copy of its own with :rw, else it cannot be changed
    #[arg(long = "file", value_name = "HOSTPATH=GUESTPATH[:ro|:rw]", value_parser = refs::file)]
    files: Vec<FileRef>,
    #[command(flatten)]
    indexed: Indexed,
    #[command(flatten)]
    others: Others,
}

/// Other components that it has to do with.
#[derive(Debug, clap::Args)]
pub(crate) struct Others {
    /// Component behind a client stub that it imports; without this, the one that is called like the stub's package
    #[arg(long = "client", value_name = "INTERFACE=COMPONENT", value_parser = refs::pair)]
    clients: Vec<KeyValue>,
    /// Component that is given the oplogs of its workers
    #[arg(long = "oplog-processor", value_name = "COMPONENT")]
    processors: Vec<String>,
}

/// By which variables workers are to be found fast.
#[derive(Debug, clap::Args)]
pub(crate) struct Indexed {
    /// Environment variable by whose value workers of this version are found fast
    #[arg(long, value_name = "KEY")]
    index_env: Vec<String>,
    /// Configuration variable by whose value workers of this version are found fast
    #[arg(long, value_name = "KEY")]
    index_config: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// Its name
    name: String,
    /// The new version, a .wasm file
    file: PathBuf,
    /// Environment variable of all workers of this version
    #[arg(long, value_name = "KEY=VALUE", value_parser = refs::pair)]
    env: Vec<KeyValue>,
    /// File that all its workers find; each has a copy of its own with :rw, else it cannot be changed
    #[arg(long = "file", value_name = "HOSTPATH=GUESTPATH[:ro|:rw]", value_parser = refs::file)]
    files: Vec<FileRef>,
    #[command(flatten)]
    indexed: Indexed,
    #[command(flatten)]
    others: Others,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// Name or UUID
    component: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// Name or UUID
    component: String,
    /// A version other than the latest
    #[arg(long)]
    version: Option<u64>,
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add(Add {
            name,
            file,
            ephemeral,
            application,
            env,
            files,
            indexed,
            others,
        }) => {
            upload(
                global,
                UploadHeader {
                    name,
                    ephemeral,
                    application,
                    env,
                    indexed_env: indexed.index_env,
                    indexed_config: indexed.index_config,
                    clients: others.clients,
                    processors: others.processors,
                    ..UploadHeader::default()
                },
                file,
                files,
            )
            .await
        }
        Command::Update(Update {
            name,
            file,
            env,
            files,
            indexed,
            others,
        }) => {
            upload(
                global,
                UploadHeader {
                    name,
                    update: true,
                    env,
                    indexed_env: indexed.index_env,
                    indexed_config: indexed.index_config,
                    clients: others.clients,
                    processors: others.processors,
                    ..UploadHeader::default()
                },
                file,
                files,
            )
            .await
        }
        Command::List => list(global).await,
        Command::Get(args) => get(global, &args).await,
        Command::Delete(args) => delete(global, &args).await,
    }
}

async fn upload(
    global: &Global,
    mut header: UploadHeader,
    file: PathBuf,
    files: Vec<FileRef>,
) -> anyhow::Result<()> {
    let bytes = read(&file).await?;
    let mut contents = Vec::with_capacity(files.len());
    for file in files {
        let bytes = read(&file.host).await?;
        header.files.push(InitialFile {
            path: file.guest,
            writable: file.writable,
            size: bytes.len() as u64,
            ..InitialFile::default()
        });
        contents.push(bytes);
    }
    let client = global.client()?;
    let component = upload_bytes(&client, header, bytes, contents).await?;
    let response = client
        .get_component(&component.name, Some(component.version))
        .await?;
    let details = json::component_details(&response);
    global.output().print(&details, || {
        let title = format!("{} version {}", component.name, component.version);
        [title, interfaces(&response)].join("\n")
    })
}

async fn read(path: &Path) -> anyhow::Result<Bytes> {
    let bytes = tokio::fs::read(path).await;
    Ok(bytes.with_context(|| format!("read {}", path.display()))?.into())
}

/// Uploads with progress on stderr.
pub(crate) async fn upload_bytes(
    client: &kiln_client::Client,
    header: UploadHeader,
    bytes: Bytes,
    files: Vec<Bytes>,
) -> anyhow::Result<ComponentVersion> {
    let progress = Progress::bytes(&header.name, bytes.len());
    let (bar, total) = (progress.clone(), bytes.len());
    let told = Arc::new(move |sent| {
        bar.set(sent);
        if sent == total {
            bar.message("checking and storing");
        }
    });
    let result = client
        .upload_component(Upload {
            header,
            bytes,
            files,
            progress: told,
        })
        .await;
    progress.finish();
    Ok(result?)
}

async fn list(global: &Global) -> anyhow::Result<()> {
    let components = global.client()?.list_components().await?;
    let rows: Json = components.iter().map(json::component).collect();
    global.output().print(&rows, || {
        let mut table = Table::new(["NAME", "VERSION", "SIZE", "KIND", "CREATED", "ID"]);
        for (component, row) in components.iter().zip(rows.as_array().into_iter().flatten()) {
            table.row([
                component.name.clone(),
                component.version.to_string(),
                component.size.to_string(),
                if component.ephemeral {
                    "ephemeral"
                } else {
                    "durable"
                }
                .to_owned(),
                rfc3339(component.created_at_ns),
                row["componentId"].as_str().unwrap_or_default().to_owned(),
            ]);
        }
        table.text()
    })
}

async fn delete(global: &Global, args: &Delete) -> anyhow::Result<()> {
    global.client()?.delete_component(&args.component).await?;
    global
        .output()
        .print(&json!({"component": args.component, "deleted": true}), || {
            format!("deleted {}", args.component)
        })
}

async fn get(global: &Global, args: &Get) -> anyhow::Result<()> {
    let response = global
        .client()?
        .get_component(&args.component, args.version)
        .await?;
    let details = json::component_details(&response);
    global.output().print(&details, || describe(&response, &details))
}

fn describe(response: &GetComponentResponse, details: &Json) -> String {
    let mut lines = Vec::new();
    for field in [
        "component",
        "componentId",
        "version",
        "size",
        "digest",
        "createdAt",
    ] {
        let value = &details[field];
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines.push(format!("{field:12} {text}"));
    }
    lines.push(interfaces(response));
    lines.join("\n")
}

/// What a component offers and what it needs.
fn interfaces(response: &GetComponentResponse) -> String {
    let mut lines = vec!["exports".to_owned()];
    lines.extend(
        response
            .exports
            .iter()
            .map(|export| format!("  {}: {}", export.name, export.signature)),
    );
    lines.push("imports".to_owned());
    lines.extend(response.imports.iter().map(|import| format!("  {import}")));
    lines.join("\n")
}
