//! Files that every worker of a component version finds in its folder: checked when they are added, and kept on the disks of
//! the nodes by digest.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use kiln_proto::{Error, v1};

use crate::component::Digest;

/// Most files of one component version.
pub(crate) const FILES_MAX: usize = 1000;

/// Checks the paths of files that are to be added.
///
/// # Errors
/// `INVALID` for a path that is not absolute, leads up, or comes twice.
pub(crate) fn check(files: &[v1::InitialFile]) -> Result<(), Error> {
    if files.len() > FILES_MAX {
        return Err(Error::limit_exceeded(format!(
            "{} files; a component may have {FILES_MAX}",
            files.len()
        )));
    }
    let mut seen = HashSet::new();
    for file in files {
        let parts = file.path.strip_prefix('/').map(|path| path.split('/'));
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !parts.is_some_and(|mut parts| parts.all(is_plain)) {
            return Err(
                Error::invalid(format!("\"{}\" is no path of a file", file.path.escape_debug()))
                    .with_hint("write it as the guest sees it, from the root: /data/words.txt"),
            );
        }
        if !seen.insert(&file.path) {
            return Err(Error::invalid(format!("the file {} comes twice", file.path)));
        }
    }
    Ok(())
}

/// The files of all components that run on this node, each once. They are never changed after they are in place.
pub(crate) struct FileCache {
    dir: PathBuf,
    /// One fetch at a time: files are fetched once a node, before the first worker of a version runs.
    fetching: tokio::sync::Mutex<()>,
}

impl FileCache {
    /// Makes the folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(dir: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&dir).map_err(|error| cannot("make", &dir, &error))?;
        Ok(Self {
            dir,
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// Where the file with this digest lies; it is fetched when it is not there.
    ///
    /// # Errors
    /// When it cannot be fetched or written, or is not what its digest says.
    pub(crate) async fn get<R>(&self, digest: Digest, fetch: impl FnOnce() -> R) -> Result<Arc<Path>, Error>
    where
        R: Future<Output = Result<Bytes, Error>>,
    {
        let path = self.dir.join(digest.to_string());
        if path.exists() {
            return Ok(path.into());
        }
        let _turn = self.fetching.lock().await;
        if !path.exists() {
            let bytes = fetch().await?;
            if Digest::of(&bytes) != digest {
                return Err(Error::corrupt(format!("the bytes of file {digest} are others")));
            }
            self.put(&path, &bytes)?;
        }
        Ok(path.into())
    }

    /// The rename makes it appear whole.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            io::Write::write_all(&mut file, bytes)?;
            file.as_file()
                .set_permissions(fs::Permissions::from_mode(0o444))?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|error| cannot("write", path, &error))
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::internal(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_plain() {
        let file = |path: &str| v1::InitialFile {
            path: path.to_owned(),
            ..v1::InitialFile::default()
        };
        assert!(check(&[file("/a"), file("/b/c.txt")]).is_ok());
        for path in ["", "/", "a", "/a/../b", "/a//b", "/a/", "/./a"] {
            assert!(check(&[file(path)]).is_err(), "{path}");
        }
        assert!(check(&[file("/a"), file("/a")]).is_err());
    }
}
