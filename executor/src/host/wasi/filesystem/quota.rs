use std::{
    fs::File,
    sync::{Arc, Weak},
};

/// Bytes and files that a worker keeps, against what it may keep.
///
/// Counted by what the guest asked for and not by what the disk says, so that a replay comes to the same answers. The size of
/// a file is its length, holes included.
#[derive(Debug)]
pub(super) struct Quota {
    bytes_max: u64,
    files_max: u64,
    bytes: u64,
    files: u64,
    /// Every file that was opened and may still be open.
    opened: Vec<(Inode, Weak<File>)>,
    /// `opened` is swept when it has grown to this length.
    sweep_at: usize,
    /// Files without a name that are still open: they take room until they are closed.
    nameless: Vec<Nameless>,
}

/// The number of a file in the file system of this machine.
pub(super) type Inode = u64;

#[derive(Debug)]
struct Nameless {
    inode: Inode,
    bytes: u64,
    handles: Vec<Weak<File>>,
}

/// The worker's folder is full.
#[derive(Debug, thiserror::Error)]
#[error("the worker's files would exceed its quota: {bytes_max} bytes in {files_max} files")]
pub(super) struct QuotaExceeded {
    bytes_max: u64,
    files_max: u64,
}

impl Quota {
    pub(super) fn new(bytes_max: u64, files_max: u64) -> Self {
        Self {
            bytes_max,
            files_max,
            bytes: 0,
            files: 0,
            opened: Vec::new(),
            sweep_at: 64,
            nameless: Vec::new(),
        }
    }

    /// A file is about to become longer by `bytes`.
    pub(super) fn grow(&mut self, inode: Inode, bytes: u64) -> Result<(), QuotaExceeded> {
        if bytes == 0 {
            return Ok(());
        }
        if self.bytes.saturating_add(bytes) > self.bytes_max {
            self.forget_closed();
        }
        match self.bytes.checked_add(bytes) {
            Some(total) if total <= self.bytes_max => self.bytes = total,
            _ => return Err(self.exceeded()),
        }
        if let Some(nameless) = self.nameless.iter_mut().find(|file| file.inode == inode) {
            nameless.bytes += bytes;
        }
        Ok(())
    }

    /// A file has become shorter by `bytes`.
    pub(super) fn shrink(&mut self, inode: Inode, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(nameless) = self.nameless.iter_mut().find(|file| file.inode == inode) {
            nameless.bytes = nameless.bytes.saturating_sub(bytes);
        }
    }

    /// Refuses when there is no room for another file, folder or link.
    pub(super) fn check_new_file(&self) -> Result<(), QuotaExceeded> {
        if self.files >= self.files_max {
            Err(self.exceeded())
        } else {
            Ok(())
        }
    }

    /// A file, folder or link has come into being.
    pub(super) fn add_file(&mut self) {
        self.files += 1;
    }

    /// A name is gone, but not what it stood for, or that took no room.
    pub(super) fn remove_name(&mut self) {
        self.files = self.files.saturating_sub(1);
    }

    /// The last name of a file of that length is gone.
    pub(super) fn remove_file(&mut self, inode: Inode, bytes: u64) {
        self.remove_name();
        self.forget_closed();
        let handles: Vec<Weak<File>> = self
            .opened
            .iter()
            .filter(|(opened, handle)| *opened == inode && handle.strong_count() > 0)
            .map(|(_, handle)| handle.clone())
            .collect();
        if handles.is_empty() {
            self.bytes = self.bytes.saturating_sub(bytes);
        } else {
            self.nameless.push(Nameless {
                inode,
                bytes,
                handles,
            });
        }
    }

    /// A file was opened.
    pub(super) fn open(&mut self, inode: Inode, file: &Arc<File>) {
        if self.opened.len() >= self.sweep_at {
            self.opened.retain(|(_, handle)| handle.strong_count() > 0);
            self.sweep_at = 64.max(self.opened.len() * 2);
        }
        self.opened.push((inode, Arc::downgrade(file)));
    }

    /// Gives back the room of nameless files that have been closed.
    fn forget_closed(&mut self) {
        let bytes = &mut self.bytes;
        self.nameless.retain(|file| {
            let is_open = file.handles.iter().any(|handle| handle.strong_count() > 0);
            if !is_open {
                *bytes = bytes.saturating_sub(file.bytes);
            }
            is_open
        });
    }

    fn exceeded(&self) -> QuotaExceeded {
        QuotaExceeded {
            bytes_max: self.bytes_max,
            files_max: self.files_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameless_file_takes_room_until_it_is_closed() {
        let mut quota = Quota::new(10, 2);
        let file = Arc::new(tempfile::tempfile().expect("a temporary file"));
        quota.add_file();
        quota.open(1, &file);
        assert!(quota.grow(1, 8).is_ok());
        quota.remove_file(1, 8);
        assert!(quota.grow(2, 3).is_err(), "the removed file is still open");
        assert!(quota.grow(1, 2).is_ok(), "and may still grow");
        drop(file);
        assert!(quota.grow(2, 10).is_ok(), "all of it is free now");
        assert!(quota.grow(2, 1).is_err());
    }

    #[test]
    fn counts_files() {
        let mut quota = Quota::new(10, 1);
        assert!(quota.check_new_file().is_ok());
        quota.add_file();
        assert!(quota.check_new_file().is_err());
        quota.remove_file(1, 0);
        assert!(quota.check_new_file().is_ok());
    }
}
