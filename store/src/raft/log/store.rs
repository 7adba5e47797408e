use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use kiln_proto::ids::GroupId;
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use parking_lot::Mutex;

use super::{
    LogWriter, Volume, Write,
    tail::{Receipt, Tail, TailMemory},
};
use crate::{
    Error,
    engine::{LogDb, log_db::Fact},
    raft::{
        codec,
        types::{Entry, LogId, Types, Vote},
    },
};

/// Bytes of entries that one replication message carries at most, unless a single entry is larger.
const READ_BYTES_MAX: usize = 1 << 20;

/// A group's log.
#[derive(Clone)]
pub(crate) struct LogStore {
    group: GroupId,
    db: Arc<LogDb>,
    writer: LogWriter,
    tail: Arc<Tail>,
    volume: Arc<Volume>,
    marks: Arc<Mutex<Marks>>,
}

#[derive(Default)]
struct Marks {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    committed: Option<LogId>,
    /// `committed` has moved since it was last sent to the writer.
    committed_moved: bool,
}

impl LogStore {
    /// Reads where a group's log ends.
    pub(crate) fn open(
        group: GroupId,
        db: Arc<LogDb>,
        writer: LogWriter,
        tails: Arc<TailMemory>,
        volume: Arc<Volume>,
    ) -> Result<Self, Error> {
        let vote = read_fact(&db, group, Fact::Vote, "a vote")?;
        let purged: Option<LogId> = read_fact(&db, group, Fact::Purged, "a purge mark")?;
        let committed = read_fact(&db, group, Fact::Committed, "a commit mark")?;
        let last = db
            .last_entry(group)?
            .map(|(_, entry)| codec::entry_log_id(&entry))
            .transpose()?;
        let marks = Marks {
            vote,
            purged,
            last: last.max(purged),
            committed,
            committed_moved: false,
        };
        Ok(Self {
            group,
            db,
            writer,
            tail: Arc::new(Tail::new(tails)),
            volume,
            marks: Arc::new(Mutex::new(marks)),
        })
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        // Truncated entries stay on disk until the writer comes to it.
        let to = to.min(self.marks.lock().last.map_or(0, |last| last.index + 1));
        if from >= to {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.tail.read(from, to, bytes_max) {
            return Ok(entries);
        }
        // The tail begins later or is empty: what lies before it is on disk.
        let on_disk = self.tail.first().map_or(to, |first| first.min(to));
        let (mut entries, complete) = self.read_disk(from, on_disk, bytes_max)?;
        if complete && on_disk < to {
            let next = entries
                .last()
                .map_or(from, |entry: &Entry| entry.log_id.index + 1)
                .max(on_disk);
            // Between the two reads the front of the tail may have moved on, to disk.
            entries.extend(match self.tail.read(next, to, bytes_max) {
                Some(rest) => rest,
                None => self.read_disk(next, to, bytes_max)?.0,
            });
        }
        Ok(entries)
    }

    fn read_disk(&self, from: u64, to: u64, bytes_max: usize) -> Result<(Vec<Entry>, bool), Error> {
        // Purged entries may still be there, below the mark: skipping them keeps the reader off their tombstones.
        let purged = self.marks.lock().purged.map_or(0, |purged| purged.index + 1);
        let mut bytes = 0;
        let mut complete = true;
        let mut entries: Vec<Entry> = Vec::new();
        self.db
            .visit_entries(self.group, from.max(purged), to, |index, entry| {
                if let Some(last) = entries.last()
                    && last.log_id.index + 1 != index
                {
                    return Err(Error::Corrupt(format!(
                        "the log of group {} has a gap between {} and {index}",
                        self.group, last.log_id.index
                    )));
                }
                bytes += entry.len();
                if bytes > bytes_max && !entries.is_empty() {
                    complete = false;
                    return Ok(false);
                }
                entries.push(codec::decode_entry(Bytes::copy_from_slice(entry))?);
                Ok(true)
            })?;
        Ok((entries, complete))
    }
}

fn read_fact<T: serde::de::DeserializeOwned>(
    db: &LogDb,
    group: GroupId,
    fact: Fact,
    what: &'static str,
) -> Result<Option<T>, Error> {
    db.fact(group, fact)?
        .map(|bytes| codec::decode(what, &bytes))
        .transpose()
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        Ok(self.read(from, to, usize::MAX)?)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        Ok(self.read(start, end, READ_BYTES_MAX)?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.marks.lock().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let marks = self.marks.lock();
        Ok(LogState {
            last_purged_log_id: marks.purged,
            last_log_id: marks.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.marks.lock().vote = Some(*vote);
        Ok(self
            .writer
            .put_fact(self.group, Fact::Vote, Some(codec::encode(vote)))
            .await?)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut marks = self.marks.lock();
        marks.committed_moved |= marks.committed != committed;
        marks.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.marks.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        let first = first.log_id.index;
        let encoded: Vec<Bytes> = entries.iter().map(encode).collect();
        self.volume.add(
            last.log_id.index,
            encoded.iter().map(|entry| entry.len() as u64).sum(),
        );
        let committed = {
            let mut marks = self.marks.lock();
            marks.last = Some(last.log_id);
            match std::mem::take(&mut marks.committed_moved) {
                true => marks.committed.map(|committed| codec::encode(&committed)),
                false => None,
            }
        };
        let receipt = Receipt {
            last: last.log_id.index,
            generation: self.tail.push(entries),
            tail: Arc::clone(&self.tail),
        };
        let write = Write::Append {
            group: self.group,
            first,
            entries: encoded,
            committed,
            receipt,
            done: callback,
        };
        Ok(self.writer.send(write).await?)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.map_or(0, |last| last.index + 1);
        {
            let mut marks = self.marks.lock();
            if marks.last <= last_log_id {
                return Ok(());
            }
            marks.last = last_log_id;
        }
        self.tail.truncate(from);
        Ok(self
            .writer
            .send(Write::Truncate {
                group: self.group,
                from,
            })
            .await?)
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        {
            let mut marks = self.marks.lock();
            marks.purged = marks.purged.max(Some(log_id));
            marks.last = marks.last.max(Some(log_id));
        }
        let below = log_id.index + 1;
        self.tail.purge(below);
        self.volume.purge(log_id.index);
        Ok(self
            .writer
            .send(Write::Purge {
                group: self.group,
                below,
                purged: codec::encode(&log_id),
            })
            .await?)
    }
}

fn encode(entry: &Entry) -> Bytes {
    let mut bytes = BytesMut::new();
    codec::encode_entry(entry, &mut bytes);
    bytes.freeze()
}
