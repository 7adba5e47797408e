use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
    sync::Arc,
};

use wasmtime::component::Resource;
use wasmtime_wasi::{
    filesystem::{Descriptor, WasiFilesystemView},
    p2::{
        DynInputStream, DynOutputStream, FsError, FsResult,
        bindings::filesystem::{
            preopens,
            types::{
                Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntryStream, ErrorCode,
                Filesize, Host, HostDescriptor, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
            },
        },
    },
};

use super::{
    listing::Listing,
    reader::FileReader,
    writer::{FileWriter, WriteError, is_of_machine, write},
};
use crate::host::{HostState, payload::NOTHING};

/// A second handle of a descriptor, to pass on.
pub(super) fn borrowed(fd: &Resource<Descriptor>) -> Resource<Descriptor> {
    Resource::new_borrow(fd.rep())
}

/// Makes a trap of an error that only says something about this machine.
pub(super) fn of_guest<T>(result: FsResult<T>) -> FsResult<T> {
    result.map_err(|error| match error.downcast_ref() {
        Some(code) if is_of_machine(*code) => FsError::trap(wasmtime::format_err!(
            "the worker's files: {code} on this machine"
        )),
        _ => error,
    })
}

impl preopens::Host for HostState {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        preopens::Host::get_directories(&mut self.filesystem())
    }
}

impl Host for HostState {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        if let Some(error) = self.table.get(&error)?.downcast_ref::<WriteError>() {
            return Ok(error.code());
        }
        Host::filesystem_error_code(&mut self.filesystem(), error)
    }
}

impl HostDescriptor for HostState {
    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        let Descriptor::File(file) = self.table.get(&fd)? else {
            return Err(ErrorCode::IsDirectory.into());
        };
        let reader: DynInputStream = Box::new(FileReader::new(file.file.clone(), offset));
        Ok(self.table.push(reader)?)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, Some(offset))
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, None)
    }

    /// Advice would only be of use to this machine.
    async fn advise(
        &mut self,
        fd: Resource<Descriptor>,
        _offset: Filesize,
        _length: Filesize,
        _advice: Advice,
    ) -> FsResult<()> {
        self.file(&fd).map(|_| ())
    }

    /// The oplog is what survives a crash, not the folder.
    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.table.get(&fd)?;
        Ok(())
    }

    /// See [`HostDescriptor::sync_data`].
    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.table.get(&fd)?;
        Ok(())
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.filesystem().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.filesystem().get_type(fd).await
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        let file = self.file(&fd)?;
        let metadata = file.metadata().map_err(WriteError::from)?;
        let (growth, shrinkage) = (
            size.saturating_sub(metadata.len()),
            metadata.len().saturating_sub(size),
        );
        let quota = self.folder.quota.clone();
        quota
            .lock()
            .grow(metadata.ino(), growth)
            .map_err(WriteError::from)?;
        let done = of_guest(self.filesystem().set_size(fd, size).await);
        let unused = if done.is_ok() { shrinkage } else { growth };
        quota.lock().shrink(metadata.ino(), unused);
        done
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.refuse_read_only(&self.metadata(&fd)?)?;
        self.filesystem().set_times(fd, accessed, modified).await
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.filesystem().read(fd, length, offset).await
    }

    async fn write(
        &mut self,
        fd: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        let file = self.file(&fd)?;
        write(&file, &self.folder.quota, Some(offset), &bytes)?;
        Ok(bytes.len() as Filesize)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let unsorted = of_guest(self.filesystem().read_directory(fd).await)?;
        let entries = self
            .table
            .delete(unsorted)?
            .into_iter()
            .collect::<FsResult<_>>()?;
        let listing = self.table.push(Listing::new(entries))?;
        Ok(Resource::new_own(listing.rep()))
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.create_directory(fd, path).await
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        let mut stat = self.filesystem().stat(borrowed(&fd)).await?;
        let is_read_only = self.folder.is_read_only(self.metadata(&fd)?.ino());
        make_alike(&mut stat, is_read_only);
        let name = "filesystem::types::descriptor::stat";
        let recorded = self
            .record_times(name, NOTHING, &mut stat)
            .map_err(FsError::trap)?;
        if let Some(times) = recorded
            && !is_read_only
        {
            // Times that cannot be set are shown from the oplog all the same.
            let _ = self.handle(&fd)?.set_times(times.for_file());
        }
        Ok(stat)
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.stat_path(fd, flags, path).await
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        if let Some(metadata) = self.look_up(&fd, flags, &path).await {
            self.refuse_read_only(&metadata)?;
        }
        self.filesystem()
            .set_times_at(fd, flags, path, accessed, modified)
            .await
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        old_flags: PathFlags,
        old_path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.link(fd, old_flags, old_path, new_fd, new_path).await
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.open_path(fd, path_flags, path, open_flags, flags).await
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.filesystem().readlink_at(fd, path).await
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.remove_directory(fd, path).await
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        old_path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.rename(fd, old_path, new_fd, new_path).await
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        self.symlink(fd, target, path).await
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.unlink(fd, path).await
    }

    async fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.filesystem().is_same_object(a, b).await
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        let metadata = self.metadata(&fd)?;
        Ok(if metadata.nlink() == 0 {
            self.folder.numbers.of_nameless(metadata.ino())
        } else {
            self.folder.numbers.number(metadata.ino())
        })
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.hash_path(fd, flags, path).await
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(fd)?;
        Ok(())
    }
}

/// What disks disagree about, and how many other workers share a file.
pub(super) fn make_alike(stat: &mut DescriptorStat, is_read_only: bool) {
    if stat.type_ == DescriptorType::Directory {
        stat.size = 0;
    }
    if is_read_only || stat.type_ == DescriptorType::Directory {
        stat.link_count = 1;
    }
}

impl HostState {
    /// The file behind a descriptor.
    fn file(&self, fd: &Resource<Descriptor>) -> FsResult<Arc<File>> {
        match self.table.get(fd)? {
            Descriptor::File(file) => Ok(file.file.clone()),
            Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    /// The file or folder behind a descriptor.
    pub(super) fn handle(&self, fd: &Resource<Descriptor>) -> FsResult<Arc<File>> {
        Ok(match self.table.get(fd)? {
            Descriptor::File(file) => file.file.clone(),
            Descriptor::Dir(dir) => dir.dir.clone(),
        })
    }

    pub(super) fn metadata(&self, fd: &Resource<Descriptor>) -> FsResult<Metadata> {
        Ok(self.handle(fd)?.metadata().map_err(WriteError::from)?)
    }

    pub(super) fn refuse_read_only(&self, metadata: &Metadata) -> FsResult<()> {
        if self.folder.is_read_only(metadata.ino()) {
            return Err(ErrorCode::NotPermitted.into());
        }
        Ok(())
    }

    fn writer(
        &mut self,
        fd: &Resource<Descriptor>,
        position: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let writer: DynOutputStream = Box::new(FileWriter {
            file: self.file(fd)?,
            quota: self.folder.quota.clone(),
            position,
            failed: false,
        });
        Ok(self.table.push(writer)?)
    }
}
