use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime_wasi::p2::{
    FsError, OutputStream, Pollable, StreamError, StreamResult, bindings::filesystem::types::ErrorCode,
};

use super::quota::{Quota, QuotaExceeded};

/// Most bytes that a guest may write at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    #[error("the position is beyond what a file can have")]
    TooLarge,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl WriteError {
    /// What the guest hears. A full or broken disk of this machine is no answer: on another one there would be room.
    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Quota(_) => Some(ErrorCode::Quota),
            Self::TooLarge => Some(ErrorCode::FileTooLarge),
            Self::Io(error) => Some(ErrorCode::from(error)).filter(|code| !is_of_machine(*code)),
        }
    }
}

impl From<WriteError> for FsError {
    fn from(error: WriteError) -> Self {
        match error.code() {
            Some(code) => code.into(),
            None => Self::trap(error),
        }
    }
}

/// True for errors that say something about this machine and nothing about what the guest did.
pub(super) fn is_of_machine(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::InsufficientSpace | ErrorCode::InsufficientMemory)
}

/// Writes all of `bytes` at a position, or behind the end, within the quota. Returns where it ended.
pub(super) fn write(
    file: &File,
    quota: &Mutex<Quota>,
    position: Option<u64>,
    bytes: &[u8],
) -> Result<u64, WriteError> {
    let metadata = file.metadata()?;
    let position = position.unwrap_or(metadata.len());
    let end = position
        .checked_add(bytes.len() as u64)
        .filter(|end| i64::try_from(*end).is_ok())
        .ok_or(WriteError::TooLarge)?;
    let growth = if bytes.is_empty() {
        0
    } else {
        end.saturating_sub(metadata.len())
    };
    quota.lock().grow(metadata.ino(), growth)?;
    match file.write_all_at(bytes, position) {
        Ok(()) => Ok(end),
        Err(error) => {
            // What part of it was written is known to the file.
            let len = file.metadata().map_or(end, |now| now.len());
            let unwritten = growth.saturating_sub(len.saturating_sub(metadata.len()));
            quota.lock().shrink(metadata.ino(), unwritten);
            Err(error.into())
        }
    }
}

/// Writes to a file from a position on, or always behind its end. Always ready: what comes is written at once.
pub(super) struct FileWriter {
    pub(super) file: Arc<File>,
    pub(super) quota: Arc<Mutex<Quota>>,
    /// `None` appends.
    pub(super) position: Option<u64>,
    pub(super) failed: bool,
}

#[async_trait::async_trait]
impl Pollable for FileWriter {
    async fn ready(&mut self) {}
}

impl OutputStream for FileWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.failed {
            return Err(StreamError::Closed);
        }
        if bytes.len() > WRITE_BYTES_MAX {
            return Err(StreamError::trap("more bytes written than permitted"));
        }
        match write(&self.file, &self.quota, self.position, &bytes) {
            Ok(end) => {
                self.position = self.position.map(|_| end);
                Ok(())
            }
            Err(error) => {
                self.failed = true;
                Err(match error.code() {
                    Some(_) => StreamError::LastOperationFailed(error.into()),
                    None => StreamError::Trap(error.into()),
                })
            }
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(|_| ())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.failed {
            return Err(StreamError::Closed);
        }
        Ok(WRITE_BYTES_MAX)
    }
}
