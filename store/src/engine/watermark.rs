use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::Error;

/// How far the log was known to be synced: the engine's sequence number, beside the log.
///
/// RocksDB drops everything after the first bad record of its write-ahead log. That is right for a torn tail, which
/// nobody was told about, and wrong for a corrupt middle. A log that ends before the watermark has lost something that
/// was acknowledged. The watermark is written after each sync, but not synced itself: after a power loss it may be
/// too low, never too high.
pub(crate) struct Watermark {
    file: File,
}

const LENGTH: usize = 12;

impl Watermark {
    /// Opens the watermark and returns what it says; 0 when it says nothing.
    pub(crate) fn open(path: &Path) -> Result<(Self, u64), Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io("open the log's watermark"))?;
        let mut record = [0; LENGTH];
        let sequence = match file.read_exact_at(&mut record, 0) {
            Ok(()) => decode(&record).unwrap_or(0),
            Err(_) => 0,
        };
        Ok((Self { file }, sequence))
    }

    pub(crate) fn raise(&self, sequence: u64) -> Result<(), Error> {
        let mut record = [0; LENGTH];
        record[..8].copy_from_slice(&sequence.to_le_bytes());
        record[8..].copy_from_slice(&crc32c::crc32c(&sequence.to_le_bytes()).to_le_bytes());
        self.file
            .write_all_at(&record, 0)
            .map_err(Error::io("write the log's watermark"))
    }
}

/// A record torn by a crash says nothing: it is as good as none.
fn decode(record: &[u8; LENGTH]) -> Option<u64> {
    let (sequence, checksum) = record.split_at(8);
    let expected = u32::from_le_bytes(checksum.try_into().ok()?);
    (crc32c::crc32c(sequence) == expected).then(|| sequence.try_into().ok().map(u64::from_le_bytes))?
}
