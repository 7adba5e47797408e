use std::{fs::File, io::Read};

use kiln_proto::v1::{Folder as Listing, FolderEntry, folder_entry::Kind};
use wasmtime::component::Resource;
use wasmtime_wasi::{
    filesystem::{Descriptor, WasiFilesystemView},
    p2::{
        FsError,
        bindings::filesystem::{
            preopens::Host as _,
            types::{DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, OpenFlags, PathFlags},
        },
    },
};

use super::descriptor::borrowed;
use crate::host::HostState;

/// What lies at a path of a worker's folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// The entries of a folder, by name.
    Folder(Listing),
    /// The bytes of a file.
    File(Vec<u8>),
}

/// Why a path cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The component does not import the interfaces of files.
    #[error("the component uses no files")]
    NoFolder,
    /// There is nothing, or nothing that may be read.
    #[error("{path}: {code}")]
    Path {
        /// What was asked for.
        path: String,
        /// As the guest would be told.
        code: ErrorCode,
    },
    /// The file is too long to be sent.
    #[error("{path} has {size} bytes; at most {bytes_max} can be read")]
    TooLong {
        /// What was asked for.
        path: String,
        /// How long it is.
        size: u64,
        /// How long it may be.
        bytes_max: u64,
    },
    /// It cannot be read.
    #[error("the worker's folder cannot be read: {0}")]
    Io(String),
}

impl HostState {
    /// Looks at a path with the guest's own rules, so that no link leads out of the folder.
    pub(in crate::host) async fn find_file(
        &mut self,
        path: &str,
        bytes_max: u64,
    ) -> Result<Found, FilesError> {
        let preopened = self.filesystem().get_directories();
        let mut roots = preopened
            .map_err(|error| FilesError::Io(error.to_string()))?
            .into_iter()
            .map(|(root, _)| root);
        let Some(root) = roots.next() else {
            return Err(FilesError::NoFolder);
        };
        let found = self.find_below(&root, path, bytes_max).await;
        for root in std::iter::once(root).chain(roots) {
            // Present until here.
            let _ = self.table.delete(root);
        }
        found
    }

    async fn find_below(
        &mut self,
        root: &Resource<Descriptor>,
        path: &str,
        bytes_max: u64,
    ) -> Result<Found, FilesError> {
        let inner = match path.trim_start_matches('/') {
            "" => ".",
            inner => inner,
        };
        let failed = |error: FsError| match error.downcast() {
            Ok(code) => FilesError::Path {
                path: path.to_owned(),
                code,
            },
            Err(error) => FilesError::Io(error.to_string()),
        };
        let opened = self
            .filesystem()
            .open_at(
                borrowed(root),
                PathFlags::SYMLINK_FOLLOW,
                inner.to_owned(),
                OpenFlags::empty(),
                DescriptorFlags::READ,
            )
            .await
            .map_err(failed)?;
        let found = match self.table.get(&opened) {
            Ok(Descriptor::File(file)) => read(&file.file, path, bytes_max).map(Found::File),
            Ok(Descriptor::Dir(_)) => self.entries(&opened).await.map(Found::Folder).map_err(failed),
            Err(error) => Err(FilesError::Io(error.to_string())),
        };
        let _ = self.table.delete(opened);
        found
    }

    async fn entries(&mut self, folder: &Resource<Descriptor>) -> Result<Listing, FsError> {
        let stream = self.filesystem().read_directory(borrowed(folder)).await?;
        let mut entries = Vec::new();
        for entry in self.table.delete(stream)? {
            let entry = entry?;
            let stat = self
                .filesystem()
                .stat_at(borrowed(folder), PathFlags::empty(), entry.name.clone())
                .await?;
            let (kind, size) = match entry.type_ {
                DescriptorType::RegularFile => (Kind::File, stat.size),
                DescriptorType::Directory => (Kind::Folder, 0),
                DescriptorType::SymbolicLink => (Kind::Link, 0),
                _ => (Kind::Other, 0),
            };
            entries.push(FolderEntry {
                name: entry.name,
                kind: kind.into(),
                size,
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Listing { entries })
    }
}

fn read(file: &File, path: &str, bytes_max: u64) -> Result<Vec<u8>, FilesError> {
    let failed = |error: std::io::Error| FilesError::Io(error.to_string());
    let size = file.metadata().map_err(failed)?.len();
    if size > bytes_max {
        return Err(FilesError::TooLong {
            path: path.to_owned(),
            size,
            bytes_max,
        });
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
