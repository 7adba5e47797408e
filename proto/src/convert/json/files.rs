use serde_json::{Value, json};

use crate::v1::{Folder, folder_entry::Kind};

/// The entries of a folder of a worker.
#[must_use]
pub fn folder(folder: &Folder) -> Value {
    let entry = |entry: &crate::v1::FolderEntry| {
        json!({
            "name": entry.name,
            "type": entry_kind(entry.kind()),
            "size": entry.size,
        })
    };
    folder.entries.iter().map(entry).collect()
}

/// The word for what an entry of a folder is.
#[must_use]
pub fn entry_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Link => "link",
        Kind::Other => "other",
    }
}
