//! `kiln worker files`: looks into a worker's folder.

use kiln_client::Client;
use kiln_proto::{
    convert::json,
    v1::{Folder, WorkerRef, folder_entry::Kind, get_files_response::Found},
};
use serde_json::json;

use super::refs;
use crate::{
    args::Global,
    output::{self, Format, Table},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// COMPONENT/WORKER
    #[arg(value_parser = refs::worker)]
    worker: WorkerRef,
    /// A folder or file, as the worker sees it
    #[arg(default_value = "/")]
    path: String,
}

pub(crate) async fn run(global: &Global, client: &Client, args: Args) -> anyhow::Result<()> {
    let found = client.worker_files(args.worker, &args.path).await?.found;
    match found {
        Some(Found::File(bytes)) => print_file(global, &args.path, &bytes),
        Some(Found::Folder(folder)) => print_folder(global, &args.path, &folder),
        None => print_folder(global, &args.path, &Folder::default()),
    }
}

fn print_folder(global: &Global, path: &str, folder: &Folder) -> anyhow::Result<()> {
    let json = json!({"path": path, "type": "folder", "entries": json::folder(folder)});
    global.output().print(&json, || {
        let mut table = Table::new(["NAME", "TYPE", "SIZE"]);
        for entry in &folder.entries {
            let size = match entry.kind() {
                Kind::File => entry.size.to_string(),
                _ => String::new(),
            };
            table.row([
                entry.name.clone(),
                json::entry_kind(entry.kind()).to_owned(),
                size,
            ]);
        }
        table.text()
    })
}

/// For people the bytes as they are. In JSON a text as a string, anything else as numbers.
fn print_file(global: &Global, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    if global.output() == Format::Table {
        return output::raw(bytes);
    }
    let mut json = json!({"path": path, "type": "file", "size": bytes.len()});
    match std::str::from_utf8(bytes) {
        Ok(text) => json["text"] = text.into(),
        Err(_) => json["bytes"] = bytes.into(),
    }
    global.output().print(&json, String::new)
}
