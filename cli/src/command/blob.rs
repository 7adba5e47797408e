//! `kiln blob`: the objects of applications.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use bytes::Bytes;
use clap::Subcommand;
use futures::StreamExt;
use kiln_client::{Client, Error, NewObject, Source};
use kiln_proto::{
    convert::rfc3339,
    v1::{
        DeleteContainerRequest, DeleteObjectsRequest, GetObjectRequest, ListContainersRequest,
        ListObjectsRequest, NamedContainer, NamedObject, PutObjectHeader,
    },
};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::kv::Application;
use crate::{args::Global, failure::Usage, output::Progress};

/// Bytes of a message of an upload.
const PIECE_BYTES: usize = 512 << 10;
/// Rows on a page.
const PAGE: u32 = 1000;
/// A download that breaks off is taken up again this often without getting any further.
const ATTEMPTS_MAX: u32 = 5;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the objects of a container, or the containers
    Ls(Ls),
    /// Write an object to a file or to stdout
    Get(Get),
    /// Store a file as an object; its container is created when it is missing
    ///
    /// Example: kiln blob put pictures/cat.jpg ./cat.jpg
    Put(Put),
    /// Remove an object, or a container with all its objects
    Rm(Rm),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// The container; without one the containers are listed
    container: Option<String>,
    #[command(flatten)]
    application: Application,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// CONTAINER/OBJECT
    object: String,
    /// Where to; stdout when absent
    file: Option<PathBuf>,
    /// The bytes from here on
    #[arg(long, default_value_t = 0)]
    offset: u64,
    /// At most so many bytes
    #[arg(long)]
    length: Option<u64>,
    #[command(flatten)]
    application: Application,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// CONTAINER/OBJECT
    object: String,
    /// What to store
    file: PathBuf,
    #[command(flatten)]
    application: Application,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// CONTAINER/OBJECT, or CONTAINER with --all
    object: String,
    /// Remove a container with all its objects
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    application: Application,
}

pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Ls(args) => ls(global, args).await,
        Command::Get(args) => get(global, args).await,
        Command::Put(args) => put(global, args).await,
        Command::Rm(args) => rm(global, args).await,
    }
}

fn split(object: &str) -> anyhow::Result<(String, String)> {
    match object.split_once('/') {
        Some((container, object)) if !container.is_empty() && !object.is_empty() => {
            Ok((container.to_owned(), object.to_owned()))
        }
        _ => Err(Usage(format!("\"{object}\" is not of the form CONTAINER/OBJECT")).into()),
    }
}

async fn ls(global: &Global, args: Ls) -> anyhow::Result<()> {
    let client = global.client()?;
    let application = args.application.application;
    match args.container {
        Some(container) => {
            let objects = objects(&client, application, container).await?;
            let rows: Vec<Json> = objects.iter().map(object_json).collect();
            let header = ["NAME", "SIZE", "CREATED"];
            let fields = ["name", "size", "createdAt"];
            global.output().print_rows(rows, header, fields)
        }
        None => {
            let containers = containers(&client, application).await?;
            let rows: Vec<Json> = containers.iter().map(container_json).collect();
            let header = ["NAME", "OBJECTS", "BYTES", "CREATED"];
            let fields = ["name", "objects", "bytes", "createdAt"];
            global.output().print_rows(rows, header, fields)
        }
    }
}

fn object_json(named: &NamedObject) -> Json {
    let object = named.object.clone().unwrap_or_default();
    json!({ "name": named.name, "size": object.size, "createdAt": rfc3339(object.created_at_ns) })
}

fn container_json(named: &NamedContainer) -> Json {
    let container = named.container.unwrap_or_default();
    json!({
        "name": named.name,
        "objects": container.objects,
        "bytes": container.bytes,
        "createdAt": rfc3339(container.created_at_ns),
    })
}

async fn objects(
    client: &Client,
    application: String,
    container: String,
) -> anyhow::Result<Vec<NamedObject>> {
    let mut objects: Vec<NamedObject> = Vec::new();
    loop {
        let request = ListObjectsRequest {
            application: application.clone(),
            container: container.clone(),
            after: objects.last().map(|object| object.name.clone()),
            limit: PAGE,
        };
        let page = client.list_objects(request).await?.objects;
        let is_last = page.len() < PAGE as usize;
        objects.extend(page);
        if is_last {
            return Ok(objects);
        }
    }
}

async fn containers(client: &Client, application: String) -> anyhow::Result<Vec<NamedContainer>> {
    let mut containers: Vec<NamedContainer> = Vec::new();
    loop {
        let request = ListContainersRequest {
            application: application.clone(),
            after: containers.last().map(|container| container.name.clone()),
            limit: PAGE,
        };
        let page = client.list_containers(request).await?.containers;
        let is_last = page.len() < PAGE as usize;
        containers.extend(page);
        if is_last {
            return Ok(containers);
        }
    }
}

async fn put(global: &Global, args: Put) -> anyhow::Result<()> {
    let (container, object) = split(&args.object)?;
    let size = tokio::fs::metadata(&args.file)
        .await
        .with_context(|| format!("read {}", args.file.display()))?
        .len();
    let progress = Progress::bytes(&args.object, usize::try_from(size).unwrap_or(usize::MAX));
    let new = NewObject {
        header: PutObjectHeader {
            application: args.application.application,
            container,
            object,
            create_container: true,
            ..PutObjectHeader::default()
        },
        source: source(args.file.clone(), progress.clone()),
    };
    let stored = global.client()?.put_object(new).await;
    progress.finish();
    let stored = stored?;
    // A file that could not be read to its end must not pass for the whole of it.
    anyhow::ensure!(
        stored.size == size,
        "{} changed while it was being read: {} of {size} bytes were stored",
        args.file.display(),
        stored.size
    );
    global.output().print(&json!({ "size": stored.size }), || {
        format!("{} bytes", stored.size)
    })
}

/// Reads a file piece by piece, from its beginning for each attempt.
fn source(path: PathBuf, progress: Progress) -> Source {
    Arc::new(move || {
        let progress = progress.clone();
        let file = open(path.clone());
        futures::stream::once(file)
            .flat_map(move |file| {
                let progress = progress.clone();
                futures::stream::unfold((file, 0), move |(file, sent)| {
                    let progress = progress.clone();
                    async move {
                        let mut file = file?;
                        let mut piece = vec![0; PIECE_BYTES];
                        let length = file.read(&mut piece).await.ok().filter(|length| *length > 0)?;
                        piece.truncate(length);
                        progress.set(sent + length);
                        Some((Bytes::from(piece), (Some(file), sent + length)))
                    }
                })
            })
            .boxed()
    })
}

async fn open(path: PathBuf) -> Option<tokio::fs::File> {
    tokio::fs::File::open(path).await.ok()
}

async fn get(global: &Global, args: Get) -> anyhow::Result<()> {
    let (container, object) = split(&args.object)?;
    let mut request = GetObjectRequest {
        application: args.application.application,
        container,
        object,
        offset: args.offset,
        length: args.length,
        content_id: Bytes::new(),
    };
    let client = global.client()?;
    let mut sink = Sink::open(args.file.as_deref()).await?;
    let mut progress: Option<Progress> = None;
    let mut attempts = 0;
    let begin = request.offset;
    loop {
        let before = request.offset;
        let broken = match client.get_object(request.clone()).await {
            Ok(mut download) => {
                let end = request.length.map_or(download.object.size, |length| {
                    request.offset.saturating_add(length)
                });
                let total = end.min(download.object.size).saturating_sub(begin);
                let total = usize::try_from(total).unwrap_or(usize::MAX);
                let bar = progress.get_or_insert_with(|| Progress::bytes(&args.object, total));
                request.content_id = download.object.content_id;
                let mut broken = None;
                while let Some(piece) = download.pieces.next().await {
                    match piece {
                        Ok(piece) => {
                            sink.write(&piece).await?;
                            request.offset += piece.len() as u64;
                            request.length =
                                request.length.map(|left| left.saturating_sub(piece.len() as u64));
                            bar.set(usize::try_from(request.offset - begin).unwrap_or(usize::MAX));
                        }
                        Err(error) => broken = Some(error),
                    }
                }
                match broken {
                    None => break,
                    Some(error) => error,
                }
            }
            Err(error) => error,
        };
        attempts = if request.offset > before { 0 } else { attempts + 1 };
        if attempts >= ATTEMPTS_MAX || !is_worth_a_retry(&broken) {
            return Err(broken.into());
        }
    }
    if let Some(bar) = progress {
        bar.finish();
    }
    sink.flush().await
}

fn is_worth_a_retry(error: &Error) -> bool {
    error.is_retryable()
}

/// Where a download goes.
enum Sink {
    File(tokio::io::BufWriter<tokio::fs::File>),
    Stdout,
}

impl Sink {
    async fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = file else { return Ok(Self::Stdout) };
        let file = tokio::fs::File::create(path)
            .await
            .with_context(|| format!("write {}", path.display()))?;
        Ok(Self::File(tokio::io::BufWriter::new(file)))
    }

    async fn write(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.write_all(piece).await.context("write the file"),
            Self::Stdout => match std::io::stdout().lock().write_all(piece) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    Err(crate::failure::StdoutClosed.into())
                }
                result => result.context("write to stdout"),
            },
        }
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.flush().await.context("write the file"),
            Self::Stdout => Ok(std::io::stdout().lock().flush()?),
        }
    }
}

async fn rm(global: &Global, args: Rm) -> anyhow::Result<()> {
    let client = global.client()?;
    let application = args.application.application;
    if args.all {
        let request = DeleteContainerRequest {
            application,
            container: args.object,
            idempotency_key: String::new(),
        };
        client.delete_container(request).await?;
        return global.output().print(&json!({ "deleted": true }), String::new);
    }
    let (container, object) = split(&args.object)?;
    let request = DeleteObjectsRequest {
        application,
        container,
        objects: vec![object],
        idempotency_key: String::new(),
    };
    let deleted = client.delete_objects(request).await?.deleted > 0;
    if !deleted {
        return Err(Error::not_found(format!("there is no object \"{}\"", args.object)).into());
    }
    global.output().print(&json!({ "deleted": true }), String::new)
}
