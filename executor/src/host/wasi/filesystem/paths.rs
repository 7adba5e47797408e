//! Calls that name a path below a folder. wasmtime resolves it and keeps it inside.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use wasmtime::component::Resource;
use wasmtime_wasi::{
    filesystem::{Descriptor, WasiFilesystemView},
    p2::{
        FsError, FsResult,
        bindings::{
            clocks::wall_clock::Datetime,
            filesystem::types::{
                DescriptorFlags, DescriptorStat, HostDescriptor, MetadataHashValue, NewTimestamp, OpenFlags,
                PathFlags,
            },
        },
    },
};

use super::{
    descriptor::{borrowed, make_alike, of_guest},
    numbers::of_link,
    times::Times,
    writer::WriteError,
};
use crate::host::{
    HostState,
    payload::{request, string},
};

impl HostState {
    /// What lies at a path, if it can be opened.
    pub(super) async fn look_up(
        &mut self,
        fd: &Resource<Descriptor>,
        flags: PathFlags,
        path: &str,
    ) -> Option<Metadata> {
        let opened = self
            .filesystem()
            .open_at(
                borrowed(fd),
                flags,
                path.to_owned(),
                OpenFlags::empty(),
                DescriptorFlags::READ,
            )
            .await
            .ok()?;
        let metadata = self.metadata(&opened).ok();
        self.table.delete(opened).ok()?;
        metadata
    }

    pub(super) async fn open_path(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let changes = open_flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE)
            || flags.contains(DescriptorFlags::WRITE);
        let before = if changes {
            self.look_up(&fd, path_flags, &path).await
        } else {
            None
        };
        match &before {
            Some(metadata) => self.refuse_read_only(metadata)?,
            None if open_flags.contains(OpenFlags::CREATE) => self.check_new_file()?,
            None => {}
        }
        let opening = self
            .filesystem()
            .open_at(fd, path_flags, path, open_flags, flags)
            .await;
        let opened = of_guest(opening)?;
        let Descriptor::File(file) = self.table.get(&opened)? else {
            return Ok(opened);
        };
        let file = file.file.clone();
        let inode = file.metadata().map_err(WriteError::from)?.ino();
        let mut quota = self.folder.quota.lock();
        quota.open(inode, &file);
        match before {
            Some(before) if open_flags.contains(OpenFlags::TRUNCATE) => quota.shrink(inode, before.len()),
            None if open_flags.contains(OpenFlags::CREATE) => quota.add_file(),
            _ => {}
        }
        drop(quota);
        Ok(opened)
    }

    pub(super) async fn create_directory(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.check_new_file()?;
        of_guest(self.filesystem().create_directory_at(fd, path).await)?;
        self.folder.quota.lock().add_file();
        Ok(())
    }

    pub(super) async fn symlink(
        &mut self,
        fd: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        self.check_new_file()?;
        of_guest(self.filesystem().symlink_at(fd, target, path).await)?;
        self.folder.quota.lock().add_file();
        Ok(())
    }

    pub(super) async fn link(
        &mut self,
        fd: Resource<Descriptor>,
        old_flags: PathFlags,
        old_path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.check_new_file()?;
        if let Some(metadata) = self.look_up(&fd, old_flags, &old_path).await {
            self.refuse_read_only(&metadata)?;
        }
        let linked = self
            .filesystem()
            .link_at(fd, old_flags, old_path, new_fd, new_path)
            .await;
        of_guest(linked)?;
        self.folder.quota.lock().add_file();
        Ok(())
    }

    pub(super) async fn remove_directory(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        let before = self.look_up(&fd, PathFlags::empty(), &path).await;
        self.filesystem().remove_directory_at(fd, path).await?;
        self.folder.quota.lock().remove_name();
        if let Some(before) = before {
            self.folder.numbers.forget(before.ino());
        }
        Ok(())
    }

    pub(super) async fn unlink(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        let before = self.look_up(&fd, PathFlags::empty(), &path).await;
        if let Some(before) = &before {
            self.refuse_read_only(before)?;
        }
        self.filesystem().unlink_file_at(fd, path).await?;
        self.lost_name(before.as_ref());
        Ok(())
    }

    pub(super) async fn rename(
        &mut self,
        fd: Resource<Descriptor>,
        old_path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let none = PathFlags::empty();
        let source = self.look_up(&fd, none, &old_path).await;
        let replaced = self.look_up(&new_fd, none, &new_path).await;
        for metadata in source.iter().chain(&replaced) {
            self.refuse_read_only(metadata)?;
        }
        // A link cannot be opened, but it is there and makes room for the new name too.
        let replaces_link = replaced.is_none()
            && self
                .filesystem()
                .stat_at(borrowed(&new_fd), none, new_path.clone())
                .await
                .is_ok();
        of_guest(self.filesystem().rename_at(fd, old_path, new_fd, new_path).await)?;
        let is_same = |replaced: &&Metadata| {
            source
                .as_ref()
                .is_some_and(|source| source.ino() == replaced.ino())
        };
        match &replaced {
            Some(replaced) if !is_same(&replaced) => self.lost_name(Some(replaced)),
            None if replaces_link => self.lost_name(None),
            _ => {}
        }
        Ok(())
    }

    pub(super) async fn stat_path(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        let statted = self
            .filesystem()
            .stat_at(borrowed(&fd), flags, path.clone())
            .await;
        let mut stat = of_guest(statted)?;
        let is_read_only = self.is_read_only_at(&fd, flags, &path).await;
        make_alike(&mut stat, is_read_only);
        let name = "filesystem::types::descriptor::stat_at";
        let recorded = self
            .record_times(name, request(string(&path)), &mut stat)
            .map_err(FsError::trap)?;
        if let Some(times) = recorded
            && !is_read_only
        {
            self.show_times(fd, flags, path, &times).await;
        }
        Ok(stat)
    }

    async fn is_read_only_at(&mut self, fd: &Resource<Descriptor>, flags: PathFlags, path: &str) -> bool {
        !self.folder.read_only.is_empty()
            && self
                .look_up(fd, flags, path)
                .await
                .is_some_and(|metadata| self.folder.is_read_only(metadata.ino()))
    }

    /// Gives a file its recorded times. Where that cannot be done they are shown from the oplog all the same.
    async fn show_times(&mut self, fd: Resource<Descriptor>, flags: PathFlags, path: String, times: &Times) {
        let new = |time: Option<Datetime>| time.map_or(NewTimestamp::NoChange, NewTimestamp::Timestamp);
        let (accessed, modified) = (new(times.accessed()), new(times.modified()));
        let _ = self
            .filesystem()
            .set_times_at(fd, flags, path, accessed, modified)
            .await;
    }

    pub(super) async fn hash_path(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        if let Some(metadata) = self.look_up(&fd, flags, &path).await {
            return Ok(self.folder.numbers.number(metadata.ino()));
        }
        // A link cannot be opened, and its inode is out of reach.
        self.filesystem().stat_at(fd, flags, path.clone()).await?;
        Ok(of_link(&path))
    }

    fn check_new_file(&self) -> FsResult<()> {
        let checked = self.folder.quota.lock().check_new_file();
        Ok(checked.map_err(WriteError::from)?)
    }

    /// A name was removed; `before` says what it stood for, unless that was a link.
    fn lost_name(&mut self, before: Option<&Metadata>) {
        let mut quota = self.folder.quota.lock();
        match before {
            Some(before) if before.is_file() && before.nlink() == 1 => {
                quota.remove_file(before.ino(), before.len());
                self.folder.numbers.forget(before.ino());
            }
            Some(before) if before.is_dir() => {
                quota.remove_name();
                self.folder.numbers.forget(before.ino());
            }
            _ => quota.remove_name(),
        }
    }
}
