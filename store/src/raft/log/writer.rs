use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

use bytes::Bytes;
use kiln_proto::ids::GroupId;
use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::tail::Receipt;
use crate::{
    Error,
    engine::{
        LogDb,
        log_db::{Fact, LogBatch},
    },
    raft::types::Types,
    stats::Counters,
};

/// Writes that may wait for the disk.
const QUEUE_LENGTH: usize = 4096;

/// A batch takes no more writes beyond this size; the rest goes with the next sync.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A change of the log instance. Changes become durable in the order in which they were sent.
pub(crate) enum Write {
    /// Entries with consecutive indexes from `first` on.
    Append {
        group: GroupId,
        first: u64,
        entries: Vec<Bytes>,
        /// The committed mark, when it has moved: it rides along for free.
        committed: Option<Vec<u8>>,
        receipt: Receipt,
        done: IOFlushed<Types>,
    },
    /// Removes entries from `from` on.
    Truncate { group: GroupId, from: u64 },
    /// Removes entries below `below` and remembers the last of them.
    Purge {
        group: GroupId,
        below: u64,
        purged: Vec<u8>,
    },
    /// Sets a fact of a group, or removes it.
    Fact {
        group: GroupId,
        fact: Fact,
        value: Option<Vec<u8>>,
        done: Option<oneshot::Sender<()>>,
    },
    /// Sets a fact of the node.
    NodeFact {
        key: Vec<u8>,
        value: Vec<u8>,
        done: Option<oneshot::Sender<()>>,
    },
    /// Forgets a group.
    Destroy {
        group: GroupId,
        done: oneshot::Sender<()>,
    },
    /// Ends the writer, after everything that was sent before.
    Stop { done: oneshot::Sender<()> },
}

/// Whom to tell when a batch is on disk.
enum Done {
    Appended {
        receipt: Receipt,
        done: IOFlushed<Types>,
    },
    Told(oneshot::Sender<()>),
}

/// The one thread that writes the log instance: it merges what has gathered from all groups into one synced batch.
/// While the disk is busy the next batch gathers, so that the sync in flight is the batching window.
#[derive(Clone)]
pub(crate) struct LogWriter {
    queue: mpsc::Sender<Write>,
    thread: Arc<Mutex<Option<thread::JoinHandle<()>>>>,
}

impl LogWriter {
    pub(crate) fn start(db: Arc<LogDb>, counters: Arc<Counters>) -> Result<Self, Error> {
        let (queue, writes) = mpsc::channel(QUEUE_LENGTH);
        let thread = thread::Builder::new()
            .name("kiln-log".into())
            .spawn(move || run(&db, &counters, writes))
            .map_err(Error::io("start the log writer"))?;
        Ok(Self {
            queue,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    pub(crate) async fn send(&self, write: Write) -> Result<(), Error> {
        self.queue.send(write).await.map_err(|_| Error::Stopped)
    }

    /// Sets a fact of a group and waits for the disk.
    pub(crate) async fn put_fact(
        &self,
        group: GroupId,
        fact: Fact,
        value: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let (told, done) = oneshot::channel();
        self.send(Write::Fact {
            group,
            fact,
            value,
            done: Some(told),
        })
        .await?;
        done.await.map_err(|_| Error::Stopped)
    }

    /// Sets a fact of the node and waits for the disk.
    pub(crate) async fn put_node_fact(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let (told, done) = oneshot::channel();
        self.send(Write::NodeFact {
            key: key.to_vec(),
            value: value.to_vec(),
            done: Some(told),
        })
        .await?;
        done.await.map_err(|_| Error::Stopped)
    }

    /// Sets a fact of the node at the next occasion, if there is room to remember it.
    pub(crate) fn offer_node_fact(&self, key: &[u8], value: &[u8]) {
        // A lost offer costs a lookup after the next start, nothing else.
        let _ = self.queue.try_send(Write::NodeFact {
            key: key.to_vec(),
            value: value.to_vec(),
            done: None,
        });
    }

    /// Ends the writer thread and waits for it: a thread that closes a database while the process exits would crash
    /// it. Nothing can be written any more.
    pub(crate) async fn stop(&self) {
        let (told, done) = oneshot::channel();
        // An error says that it has ended already.
        if self.send(Write::Stop { done: told }).await.is_ok() {
            let _ = done.await;
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic in the thread has been printed; there is nothing left to do about it.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Ends the writer thread from outside a task.
    #[cfg(test)]
    pub(crate) fn stop_blocking(&self) {
        let (done, _) = oneshot::channel();
        if self.queue.try_send(Write::Stop { done }).is_ok()
            && let Some(thread) = self.thread.lock().take()
        {
            thread.join().expect("the writer does not panic");
        }
    }

    /// Forgets a group's log, vote and marks, and waits for the disk.
    pub(crate) async fn destroy(&self, group: GroupId) -> Result<(), Error> {
        let (told, done) = oneshot::channel();
        self.send(Write::Destroy { group, done: told }).await?;
        done.await.map_err(|_| Error::Stopped)
    }
}

fn run(db: &LogDb, counters: &Counters, mut writes: mpsc::Receiver<Write>) {
    let mut waiting = Vec::new();
    while let Some(first) = writes.blocking_recv() {
        let mut batch = db.batch();
        let mut next = Some(first);
        while let Some(write) = next {
            if matches!(write, Write::Stop { .. }) {
                writes.close();
            }
            add(&mut batch, write, &mut waiting, counters);
            next = if batch.size() < BATCH_BYTES_MAX {
                writes.try_recv().ok()
            } else {
                None
            };
        }
        if let Err(error) = batch.sync() {
            // After a failed sync nobody knows what the disk holds. Nothing is retried: the node stops.
            crate::fail_stop::stop("the log cannot be synced", &error);
        }
        counters.log_syncs.fetch_add(1, Relaxed);
        waiting.drain(..).for_each(tell);
    }
}

fn add(batch: &mut LogBatch<'_>, write: Write, waiting: &mut Vec<Done>, counters: &Counters) {
    match write {
        Write::Append {
            group,
            first,
            entries,
            committed,
            receipt,
            done,
        } => {
            for (index, entry) in (first..).zip(&entries) {
                counters.log_bytes.fetch_add(entry.len() as u64, Relaxed);
                batch.put_entry(group, index, entry);
            }
            counters.log_entries.fetch_add(entries.len() as u64, Relaxed);
            if let Some(committed) = committed {
                batch.put_fact(group, Fact::Committed, &committed);
            }
            waiting.push(Done::Appended { receipt, done });
        }
        Write::Truncate { group, from } => batch.delete_entries(group, from, u64::MAX),
        Write::Purge { group, below, purged } => {
            batch.delete_entries(group, 0, below);
            batch.put_fact(group, Fact::Purged, &purged);
        }
        Write::Fact {
            group,
            fact,
            value,
            done,
        } => {
            match value {
                Some(value) => batch.put_fact(group, fact, &value),
                None => batch.delete_fact(group, fact),
            }
            waiting.extend(done.map(Done::Told));
        }
        Write::NodeFact { key, value, done } => {
            batch.put_node_fact(&key, &value);
            waiting.extend(done.map(Done::Told));
        }
        Write::Destroy { group, done } => {
            batch.delete_entries(group, 0, u64::MAX);
            for fact in [Fact::Vote, Fact::Committed, Fact::Purged, Fact::Installing] {
                batch.delete_fact(group, fact);
            }
            waiting.push(Done::Told(done));
        }
        Write::Stop { done } => waiting.push(Done::Told(done)),
    }
}

fn tell(done: Done) {
    match done {
        Done::Appended { receipt, done } => {
            receipt.written();
            done.io_completed(Ok(()));
        }
        // Whoever asked may have gone away; the write stands.
        Done::Told(done) => drop(done.send(())),
    }
}
