use std::{collections::HashSet, io, path::Path, sync::Arc};

use parking_lot::Mutex;
use tempfile::TempDir;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::{
    numbers::Numbers,
    quota::{Inode, Quota},
};
use crate::host::GuestLimits;

/// The file system of a loaded worker. Removed with the instance, and made again by replay.
pub(in crate::host) struct Folder {
    /// Absent for components that use no files.
    pub(super) dir: Option<TempDir>,
    pub(super) quota: Arc<Mutex<Quota>>,
    pub(super) numbers: Numbers,
    /// Files that came with the component and must not be changed.
    pub(super) read_only: HashSet<Inode>,
}

impl Folder {
    /// Makes an empty folder below `scratch`, or none.
    pub(in crate::host) fn new(scratch: Option<&Path>, limits: &GuestLimits) -> io::Result<Self> {
        Ok(Self {
            dir: scratch.map(tempfile::tempdir_in).transpose()?,
            quota: Arc::new(Mutex::new(Quota::new(
                limits.folder_bytes_max,
                limits.folder_files_max,
            ))),
            numbers: Numbers::default(),
            read_only: HashSet::new(),
        })
    }

    /// Lets the guest see the folder, as `/` and as its working directory.
    pub(in crate::host) fn preopen(&self, wasi: &mut WasiCtxBuilder) -> io::Result<()> {
        // Calls wait for the disk in place: handing each to another thread costs more, and would make the moment at which
        // it is done visible to the guest.
        wasi.allow_blocking_current_thread(true);
        let Some(dir) = &self.dir else { return Ok(()) };
        for name in ["/", "."] {
            wasi.preopened_dir(dir.path(), name, FsPerms::ReadWrite)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// True for a file that came with the component and must not be changed.
    pub(super) fn is_read_only(&self, inode: Inode) -> bool {
        self.read_only.contains(&inode)
    }
}
