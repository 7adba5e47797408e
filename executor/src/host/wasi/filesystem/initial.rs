use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use super::Folder;

/// A file that a worker finds in its folder.
#[derive(Debug, Clone)]
pub struct InitialFile {
    /// As the guest sees it: absolute and plain.
    pub path: String,
    /// The worker has a copy of its own; otherwise it cannot change the file.
    pub writable: bool,
    /// Its length.
    pub size: u64,
    /// Where it lies on this node. Never changed.
    pub source: Arc<Path>,
}

impl Folder {
    /// Puts files into the folder. They count against the quota only where the worker has its own copies.
    pub(in crate::host) fn mount(&mut self, files: &[InitialFile]) -> io::Result<()> {
        for file in files {
            self.put(file)?;
        }
        Ok(())
    }

    fn put(&mut self, file: &InitialFile) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let target = dir.path().join(file.path.trim_start_matches('/'));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        if file.writable {
            fs::copy(&file.source, &target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644))?;
            let inode = fs::metadata(&target)?.ino();
            let mut quota = self.quota.lock();
            quota.add_file();
            return quota.grow(inode, file.size).map_err(io::Error::other);
        }
        // All workers share its bytes. The guest cannot change it: calls that would are refused by its inode.
        if fs::hard_link(&file.source, &target).is_err() {
            fs::copy(&file.source, &target)?;
        }
        self.read_only.insert(fs::metadata(&target)?.ino());
        Ok(())
    }
}
