//! Snapshots: all rows of a group as of one moment, in checksummed chunks.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kiln_proto::{ids::GroupId, v1};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{codec, state_machine::Mark, types::SnapshotMeta};
use crate::{
    Error,
    engine::{StateDb, Table},
};

/// A chunk is closed when it has grown to this size.
const CHUNK_BYTES: usize = 512 << 10;

/// Name of the file that holds the received chunks, each behind its length.
const CHUNKS: &str = "chunks";

/// A snapshot in the Raft library's hands.
pub(crate) enum SnapshotData {
    /// The state of a replica in this process, whenever it is read: at the snapshot's log id or later.
    Local(Arc<StateDb>),
    /// Received chunks, checked and synced.
    Received(PathBuf),
}

/// The marker of an installation that has begun: with it a crash is followed by the same installation again.
#[derive(Serialize, Deserialize)]
pub(crate) struct Installation {
    pub(crate) folder: String,
    pub(crate) meta: SnapshotMeta,
}

/// Hands all rows of a group to `send` in chunks, after `begin` was told which log entries they include.
/// The last chunk is empty and says how many came before it.
pub(crate) fn export(
    db: &StateDb,
    group: GroupId,
    begin: impl FnOnce(SnapshotMeta) -> Result<(), Error>,
    mut send: impl FnMut(v1::SnapshotData) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut open = BytesMut::new();
    let mut open_table = Table::Meta;
    let mut count = 0;
    let mut close = |table: Table, bytes: &mut BytesMut, count: &mut u32| {
        if bytes.is_empty() {
            return Ok(());
        }
        let bytes = bytes.split().freeze();
        let checksum = crc32c::crc32c(&bytes);
        let chunk = v1::SnapshotData {
            file: *count,
            column_family: table.name().to_owned(),
            bytes,
            checksum,
        };
        *count += 1;
        send(chunk)
    };
    db.export(
        group,
        |mark| begin(Mark::decode(mark.as_deref())?.into_meta()),
        |table, key, value| {
            if table != open_table || open.len() >= CHUNK_BYTES {
                close(open_table, &mut open, &mut count)?;
                open_table = table;
            }
            put_sized(&mut open, key);
            put_sized(&mut open, value);
            Ok(())
        },
    )?;
    close(open_table, &mut open, &mut count)?;
    send(v1::SnapshotData {
        file: count,
        ..Default::default()
    })
}

fn put_sized(to: &mut BytesMut, bytes: &[u8]) {
    to.put_u32_le(u32::try_from(bytes.len()).expect("a row is far below 4 GiB"));
    to.put_slice(bytes);
}

fn get_sized(from: &mut Bytes) -> Option<Bytes> {
    let length = from.try_get_u32_le().ok()? as usize;
    (from.len() >= length).then(|| from.split_to(length))
}

/// Receives chunks into a folder of its own; the folder goes away unless it is [`finish`](Self::finish)ed.
pub(crate) struct Receiver {
    folder: PathBuf,
    file: BufWriter<File>,
    next: u32,
    complete: bool,
}

impl Receiver {
    pub(crate) fn new(folder: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&folder).map_err(Error::io("make a folder for a snapshot"))?;
        let file = File::create(folder.join(CHUNKS)).map_err(Error::io("make a snapshot file"))?;
        Ok(Self {
            folder,
            file: BufWriter::new(file),
            next: 0,
            complete: false,
        })
    }

    /// Checks a chunk and keeps it. True after the last one.
    pub(crate) fn push(&mut self, chunk: &v1::SnapshotData) -> Result<bool, Error> {
        if chunk.file != self.next {
            return Err(Error::Corrupt(format!(
                "chunk {} of a snapshot came in place of {}",
                chunk.file, self.next
            )));
        }
        if chunk.column_family.is_empty() {
            self.complete = true;
            return Ok(true);
        }
        check(chunk)?;
        self.next += 1;
        self.file
            .write_all(&chunk.encode_length_delimited_to_vec())
            .map_err(Error::io("write a snapshot file"))?;
        Ok(false)
    }

    /// Syncs what was received and returns the folder, which is the caller's from here on.
    pub(crate) fn finish(mut self) -> Result<PathBuf, Error> {
        if !self.complete {
            return Err(Error::Corrupt("a snapshot ended before its last chunk".into()));
        }
        self.file.flush().map_err(Error::io("write a snapshot file"))?;
        self.file
            .get_ref()
            .sync_all()
            .map_err(Error::io("sync a snapshot file"))?;
        sync_folder(&self.folder)?;
        if let Some(parent) = self.folder.parent() {
            sync_folder(parent)?;
        }
        Ok(std::mem::take(&mut self.folder))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            remove(&self.folder);
        }
    }
}

/// Receives a snapshot from a replica in this process.
pub(crate) fn copy(
    source: &StateDb,
    group: GroupId,
    folder: PathBuf,
) -> Result<(PathBuf, SnapshotMeta), Error> {
    let mut receiver = Receiver::new(folder)?;
    let mut copied = SnapshotMeta::default();
    let begin = |meta| {
        copied = meta;
        Ok(())
    };
    export(source, group, begin, |chunk| receiver.push(&chunk).map(|_| ()))?;
    Ok((receiver.finish()?, copied))
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io("sync a snapshot folder"))
}

/// Removes a snapshot's folder. What stays behind is removed at the next start.
pub(crate) fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "cannot remove a snapshot");
    }
}

fn check(chunk: &v1::SnapshotData) -> Result<Table, Error> {
    if crc32c::crc32c(&chunk.bytes) != chunk.checksum {
        return Err(Error::Corrupt(format!(
            "the checksum of chunk {} of a snapshot is wrong",
            chunk.file
        )));
    }
    Table::by_name(&chunk.column_family).ok_or_else(|| {
        Error::Corrupt(format!(
            "a snapshot has the unknown table {}",
            chunk.column_family
        ))
    })
}

/// Replaces everything of a group by a received snapshot and flushes it. Repeating it after a crash is harmless.
pub(crate) fn install(
    db: &Arc<StateDb>,
    group: GroupId,
    folder: &Path,
    meta: &SnapshotMeta,
) -> Result<(), Error> {
    let file = File::open(folder.join(CHUNKS)).map_err(Error::io("open a received snapshot"))?;
    let mut chunks = BufReader::new(file);
    db.wipe(group)?;
    while let Some(chunk) = read_chunk(&mut chunks)? {
        let table = check(&chunk)?;
        let mut rows = chunk.bytes;
        let mut batch = db.batch(group);
        while rows.has_remaining() {
            let row = get_sized(&mut rows).zip(get_sized(&mut rows));
            let (key, value) = row.ok_or_else(|| Error::Corrupt("a row of a snapshot is cut off".into()))?;
            batch.put(table, &key, &value);
        }
        batch.write()?;
    }
    let mut batch = db.batch(group);
    batch.put_applied(&Mark::from_meta(meta).encode());
    batch.write()?;
    db.flush()
}

fn read_chunk(from: &mut impl Read) -> Result<Option<v1::SnapshotData>, Error> {
    let mut length: u64 = 0;
    for shift in (0..).step_by(7).take(10) {
        let mut byte = [0];
        match from
            .read(&mut byte)
            .map_err(Error::io("read a received snapshot"))?
        {
            0 if shift == 0 => return Ok(None),
            0 => return Err(Error::Corrupt("a received snapshot is cut off".into())),
            _ => length |= u64::from(byte[0] & 0x7f) << shift,
        }
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut bytes = Vec::new();
    from.take(length)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read a received snapshot"))?;
    v1::SnapshotData::decode(Bytes::from(bytes))
        .map(Some)
        .map_err(|error| Error::Corrupt(format!("a received snapshot does not decode: {error}")))
}

/// Reads the marker of an unfinished installation.
pub(crate) fn decode_installation(bytes: &[u8]) -> Result<Installation, Error> {
    codec::decode("an installation marker", bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, raft::codec::log_id};

    const GROUP: GroupId = GroupId(5);
    const NEIGHBOUR: GroupId = GroupId(6);

    fn open(folder: &Path) -> Arc<StateDb> {
        let options = Options {
            write_buffer_bytes: 4 << 20,
            block_cache_bytes: 1 << 20,
            ..Options::default()
        };
        StateDb::open(folder, &options).expect("opens")
    }

    fn put(db: &Arc<StateDb>, group: GroupId, rows: &[(Table, &str, Vec<u8>)]) {
        let mut batch = db.batch(group);
        for (table, key, value) in rows {
            batch.put(*table, key.as_bytes(), value);
        }
        let mark = Mark {
            applied: Some(log_id(2, 9)),
            ..Mark::default()
        };
        batch.put_applied(&mark.encode());
        batch.write().expect("writes");
    }

    fn rows(db: &StateDb, group: GroupId) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let visit = |table, key: &[u8], value: &[u8]| {
            rows.push((table, key.to_vec(), value.to_vec()));
            Ok(())
        };
        db.export(group, |_| Ok(()), visit).expect("reads");
        rows
    }

    #[test]
    fn a_group_is_replaced_and_its_neighbour_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, target) = (open(&folder.path().join("a")), open(&folder.path().join("b")));
        let large = vec![1; 2 * CHUNK_BYTES];
        let new = [
            (Table::Meta, "m", vec![2]),
            (Table::Oplog, "1", large),
            (Table::Oplog, "2", vec![]),
            (Table::Kv, "", vec![3]),
        ];
        put(&source, GROUP, &new);
        put(&source, NEIGHBOUR, &[(Table::Meta, "not", vec![4])]);
        put(
            &target,
            GROUP,
            &[(Table::Meta, "old", vec![5]), (Table::Blob, "old", vec![6])],
        );
        put(&target, NEIGHBOUR, &[(Table::Meta, "kept", vec![7])]);

        let (received, meta) = copy(&source, GROUP, folder.path().join("received")).expect("copies");
        assert_eq!(meta.last_log_id, Some(log_id(2, 9)));
        // The second time stands for the one after a crash.
        for _ in 0..2 {
            install(&target, GROUP, &received, &meta).expect("installs");
            assert_eq!(rows(&target, GROUP), rows(&source, GROUP));
            assert_eq!(
                rows(&target, NEIGHBOUR),
                [(Table::Meta, b"kept".to_vec(), vec![7])]
            );
            let durable = Mark::decode(target.durable(GROUP).expect("reads").as_deref()).expect("decodes");
            assert_eq!(durable.applied, meta.last_log_id);
        }
    }

    #[test]
    fn damage_and_missing_chunks_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = open(&folder.path().join("a"));
        put(
            &source,
            GROUP,
            &[(Table::Meta, "m", vec![2]), (Table::Kv, "k", vec![3])],
        );
        let mut chunks = Vec::new();
        export(
            &source,
            GROUP,
            |_| Ok(()),
            |chunk| {
                chunks.push(chunk);
                Ok(())
            },
        )
        .expect("exports");
        let receive = |chunks: &[v1::SnapshotData]| {
            let mut receiver = Receiver::new(folder.path().join("received"))?;
            for chunk in chunks {
                receiver.push(chunk)?;
            }
            receiver.finish()
        };
        assert!(receive(&chunks).is_ok());
        assert!(
            receive(&chunks[..chunks.len() - 1]).is_err(),
            "the end is missing"
        );
        assert!(receive(&chunks[1..]).is_err(), "the beginning is missing");
        let mut damaged = chunks;
        damaged[0].bytes = Bytes::from_static(b"other");
        assert!(receive(&damaged).is_err(), "a chunk is damaged");
        assert!(
            !folder.path().join("received").exists(),
            "what was refused is removed"
        );
    }
}
