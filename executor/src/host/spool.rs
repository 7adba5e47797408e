use std::{fs::File, io::Write, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use kiln_proto::Error;
use parking_lot::Mutex;
use wasmtime_wasi_io::{
    poll::Pollable,
    streams::{OutputStream, StreamError, StreamResult},
};

use super::Content;

/// A value larger than this moves from memory to a file.
const MEMORY_BYTES_MAX: usize = 1 << 20;
/// What a guest may write at once. Constant, so that it is the same on replay.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// Read from the file at once.
const PIECE_BYTES: usize = 1 << 20;

/// The bytes of an outgoing value, until they are stored. They are gathered on this node, like files of the guest, so a
/// replay writes them again without asking anybody; and in a file when they are many, so that they need no memory.
#[derive(Clone)]
pub(super) struct Spool {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    /// Where the file is made; it has no name there, and ends with the spool.
    folder: PathBuf,
    bytes_max: u64,
    memory: BytesMut,
    file: Option<Arc<File>>,
    size: u64,
    /// Of all bytes: so a replay that writes others is noticed.
    checksum: u32,
    failure: Option<String>,
}

impl Spool {
    /// An empty spool for at most `bytes_max` bytes.
    pub(super) fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                folder,
                bytes_max,
                memory: BytesMut::new(),
                file: None,
                size: 0,
                checksum: 0,
                failure: None,
            })),
        }
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// A text for the guest, when they are too many or this node's disk fails.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), String> {
        self.inner.lock().write(bytes)
    }

    pub(super) fn size(&self) -> u64 {
        self.inner.lock().size
    }

    pub(super) fn checksum(&self) -> u32 {
        self.inner.lock().checksum
    }

    /// Why the last write failed, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        self.inner.lock().failure.clone()
    }

    /// The bytes as a stream of pieces.
    pub(super) fn content(&self) -> Content<'static> {
        let inner = self.inner.lock();
        match &inner.file {
            None => {
                let bytes = Bytes::copy_from_slice(&inner.memory);
                futures::stream::iter([Ok(bytes)]).boxed()
            }
            Some(file) => pieces(file.clone(), inner.size).boxed(),
        }
    }

    /// All bytes at once.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub(super) async fn bytes(&self) -> Result<Bytes, Error> {
        let mut content = self.content();
        let mut all = BytesMut::new();
        while let Some(piece) = content.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = self.try_write(bytes);
        if let Err(failure) = &written {
            self.failure = Some(failure.clone());
        }
        written
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let size = self.size + bytes.len() as u64;
        if size > self.bytes_max {
            return Err(format!(
                "the value is too large: at most {} bytes",
                self.bytes_max
            ));
        }
        if self.file.is_none() && self.memory.len() + bytes.len() > MEMORY_BYTES_MAX {
            let mut file = tempfile::tempfile_in(&self.folder).map_err(|error| error.to_string())?;
            file.write_all(&self.memory).map_err(|error| error.to_string())?;
            self.memory = BytesMut::new();
            self.file = Some(Arc::new(file));
        }
        match &self.file {
            Some(file) => file
                .write_all_at(bytes, self.size)
                .map_err(|error| error.to_string())?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.size = size;
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        Ok(())
    }
}

fn pieces(file: Arc<File>, size: u64) -> impl futures::Stream<Item = Result<Bytes, Error>> + Send {
    futures::stream::unfold((file, 0_u64), move |(file, at)| async move {
        if at >= size {
            return None;
        }
        let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let source = file.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; length];
            source.read_exact_at(&mut piece, at).map(|()| piece)
        });
        let piece = match read.await {
            Ok(Ok(piece)) => Ok(Bytes::from(piece)),
            Ok(Err(error)) => Err(Error::unavailable(format!(
                "a value could not be read back: {error}"
            ))),
            Err(_) => Err(Error::unavailable("the node is being stopped")),
        };
        // After a failure nothing follows.
        let next = if piece.is_ok() { at + length as u64 } else { size };
        Some((piece, (file, next)))
    })
}

/// A stream of the guest into a spool.
pub(super) struct SpoolStream(pub(super) Spool);

#[async_trait]
impl Pollable for SpoolStream {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for SpoolStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0
            .write(&bytes)
            .map_err(|failure| StreamError::LastOperationFailed(wasmtime::Error::msg(failure)))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.0.failure() {
            Some(failure) => Err(StreamError::LastOperationFailed(wasmtime::Error::msg(failure))),
            None => Ok(WRITE_BYTES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_and_large_values_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::new(folder.path().to_owned(), 5 << 20);
        let mut expected = Vec::new();
        for number in 0..40_u8 {
            let piece = vec![number; 100_000];
            spool.write(&piece).expect("there is room");
            expected.extend_from_slice(&piece);
            if number == 2 || number == 39 {
                assert_eq!(spool.bytes().await.expect("it is read back"), expected);
            }
        }
        assert_eq!(spool.checksum(), crc32c::crc32c(&expected));
        assert!(spool.write(&vec![0; 2 << 20]).is_err(), "beyond the limit");
        assert_eq!(spool.size(), 4_000_000);
    }
}
