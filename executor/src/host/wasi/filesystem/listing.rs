use std::vec::IntoIter;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    FsResult,
    bindings::filesystem::types::{DirectoryEntry, DirectoryEntryStream, HostDirectoryEntryStream},
};

use crate::host::HostState;

/// The entries of a folder by name, as they were when the listing began. It stands in the table of resources where
/// wasmtime's own stream would, whose order is that of the disk.
pub(super) struct Listing(IntoIter<DirectoryEntry>);

impl Listing {
    pub(super) fn new(mut entries: Vec<DirectoryEntry>) -> Self {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Self(entries.into_iter())
    }
}

fn listing(stream: &Resource<DirectoryEntryStream>) -> Resource<Listing> {
    Resource::new_borrow(stream.rep())
}

impl HostDirectoryEntryStream for HostState {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        Ok(self.table.get_mut(&listing(&stream))?.0.next())
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Listing>::new_own(stream.rep()))?;
        Ok(())
    }
}
