use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use wasmtime::component::Component;

use super::{Digest, Error, compile};
use crate::host::Engine;

/// The compiled code of one component on disk: the code, and beside it its checksum.
///
/// Invariant: both files appear by rename and never change afterwards. A file that does not check out is removed and made
/// again from the component.
pub(super) struct CompiledFile {
    code: PathBuf,
    checksum: PathBuf,
}

impl CompiledFile {
    pub(super) fn new(dir: &Path, digest: Digest, engine_hash: u64) -> Self {
        let stem = format!("{digest}-{engine_hash:016x}");
        Self {
            code: dir.join(format!("{stem}.cwasm")),
            checksum: dir.join(format!("{stem}.sha256")),
        }
    }

    /// Maps the code into memory, if it is there and sound.
    pub(super) fn open(&self, engine: &Engine) -> Option<Component> {
        if !self.code.exists() {
            return None;
        }
        match self
            .verify()
            .and_then(|()| compile::map_file(engine, &self.code).map_err(|e| format!("{e:#}")))
        {
            Ok(component) => Some(component),
            Err(what) => {
                tracing::warn!(file = %self.code.display(), what, "compiled component is unusable; compiling it again");
                // A file that cannot be removed is replaced by rename.
                let _ = fs::remove_file(&self.code);
                None
            }
        }
    }

    /// Writes the code and maps it into memory.
    pub(super) fn store(&self, engine: &Engine, code: &[u8]) -> Result<Component, Error> {
        let failed = |what: String| Error::Disk {
            path: self.code.clone(),
            what,
        };
        let checksum = Digest::of(code).to_string();
        write_by_rename(&self.checksum, checksum.as_bytes()).map_err(|error| failed(error.to_string()))?;
        write_by_rename(&self.code, code).map_err(|error| failed(error.to_string()))?;
        compile::map_file(engine, &self.code).map_err(|error| failed(format!("{error:#}")))
    }

    fn verify(&self) -> Result<(), String> {
        let expected = fs::read_to_string(&self.checksum).map_err(|error| format!("no checksum: {error}"))?;
        let code = fs::read(&self.code).map_err(|error| error.to_string())?;
        let actual = Digest::of(&code).to_string();
        if actual == expected {
            Ok(())
        } else {
            Err("the checksum does not match".to_owned())
        }
    }
}

fn write_by_rename(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}
