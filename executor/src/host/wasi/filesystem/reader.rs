use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::{Bytes, BytesMut};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

/// Most bytes that a guest gets at once.
const READ_BYTES_MAX: usize = 64 << 10;

/// Reads a file from a position on. Always ready: what is there is read at once.
pub(super) struct FileReader {
    file: Arc<File>,
    position: u64,
}

impl FileReader {
    pub(super) fn new(file: Arc<File>, position: u64) -> Self {
        Self { file, position }
    }
}

#[async_trait::async_trait]
impl Pollable for FileReader {
    async fn ready(&mut self) {}
}

impl InputStream for FileReader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buffer = BytesMut::zeroed(size.min(READ_BYTES_MAX));
        let read = loop {
            match self.file.read_at(&mut buffer, self.position) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StreamError::LastOperationFailed(error.into())),
            }
        };
        if read == 0 {
            return Err(StreamError::Closed);
        }
        buffer.truncate(read);
        self.position += read as u64;
        Ok(buffer.freeze())
    }
}
