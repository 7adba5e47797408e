use super::{Shard, chunk};
use crate::{Error, Table};

/// What a replica's oplogs come to. Two replicas with the same `applied_index` have the same rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksum {
    /// The last log entry that it covers.
    pub applied_index: u64,
    /// Workers that have oplog rows.
    pub workers: u64,
    /// Oplog entries.
    pub entries: u64,
    /// CRC-32C over all oplog rows in key order, keys included.
    pub digest: u32,
}

impl Shard {
    /// A digest of all oplog rows, at a moment when nothing was being applied.
    ///
    /// # Errors
    /// `Corrupt`, or when the engine cannot read; `Unavailable` when the replica does not come to rest.
    pub fn checksum(&self) -> Result<Checksum, Error> {
        const ATTEMPTS_MAX: usize = 20;
        for _ in 0..ATTEMPTS_MAX {
            let before = self.group.applied_index();
            let checksum = self.oplog_checksum(before)?;
            if self.group.applied_index() == before {
                return Ok(checksum);
            }
        }
        Err(Error::Unavailable(format!(
            "shard {} is being written",
            self.id()
        )))
    }

    fn oplog_checksum(&self, applied_index: u64) -> Result<Checksum, Error> {
        let mut checksum = Checksum {
            applied_index,
            ..Checksum::default()
        };
        let mut last_worker = Vec::new();
        let mut failure = None;
        self.group.reader().visit(Table::Oplog, &[], &[], |key, value| {
            let digest = crc32c::crc32c_append(checksum.digest, key);
            checksum.digest = crc32c::crc32c_append(digest, value);
            if key.get(..8) != Some(last_worker.as_slice()) {
                checksum.workers += 1;
                last_worker = key.get(..8).unwrap_or_default().to_vec();
            }
            let chunk = chunk::first(key)
                .and_then(|first| chunk::decode(first, bytes::Bytes::copy_from_slice(value)));
            match chunk {
                Ok(chunk) => checksum.entries += chunk.len() as u64,
                Err(error) => failure = Some(error),
            }
            failure.is_none()
        })?;
        failure.map_or(Ok(checksum), Err)
    }
}
