use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use futures::{Stream, StreamExt};
use kiln_proto::ids::GroupId;
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    LogWriter, codec,
    snapshot::{self, Installation, SnapshotData},
    types::{LogId, Reply, Snapshot, SnapshotMeta, StoredMembership, Types},
};
use crate::{
    Error, Machine, Transaction,
    engine::{Reader, StateDb, log_db::Fact},
    stats::Counters,
};

/// Commands that are applied in one batch at most.
const BATCH_COMMANDS_MAX: usize = 1024;

/// Bytes that a batch may hold before it is written.
const BATCH_BYTES_MAX: usize = 2 << 20;

/// How far a group's state has got, and who its members are as of there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

impl Mark {
    pub(crate) fn decode(bytes: Option<&[u8]>) -> Result<Self, Error> {
        bytes.map_or(Ok(Self::default()), |bytes| {
            codec::decode("an applied mark", bytes)
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(crate) fn into_meta(self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership,
        }
    }

    pub(crate) fn from_meta(meta: &SnapshotMeta) -> Self {
        Self {
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
        }
    }
}

/// A group's state behind Raft: feeds committed commands to the machine and keeps the applied mark with what they did.
pub(crate) struct StateMachine<M> {
    group: GroupId,
    db: Arc<StateDb>,
    reader: Reader,
    machine: Arc<M>,
    writer: LogWriter,
    counters: Arc<Counters>,
    /// Where snapshots lie until they are installed.
    snapshots: PathBuf,
    mark: Mark,
    /// Index of the last applied entry, for readers elsewhere and those who wait for it.
    applied: watch::Sender<u64>,
}

impl<M: Machine> StateMachine<M> {
    pub(crate) fn open(
        group: GroupId,
        db: Arc<StateDb>,
        machine: Arc<M>,
        writer: LogWriter,
        counters: Arc<Counters>,
        snapshots: PathBuf,
        applied: watch::Sender<u64>,
    ) -> Result<Self, Error> {
        let mark = Mark::decode(db.applied(group)?.as_deref())?;
        let reader = Reader::new(Arc::clone(&db), group);
        let state_machine = Self {
            group,
            db,
            reader,
            machine,
            writer,
            counters,
            snapshots,
            mark,
            applied,
        };
        state_machine.publish();
        Ok(state_machine)
    }

    fn publish(&self) {
        self.applied
            .send_replace(self.mark.applied.map_or(0, |applied| applied.index));
    }

    /// Writes a batch with the mark that it leads to, then answers those who wait.
    fn commit(&self, changes: Transaction<'_>, answers: &mut Answers) -> Result<(), Error> {
        let mut batch = self.db.batch(self.group);
        changes.fill(&mut batch);
        batch.put_applied(&self.mark.encode());
        batch.write()?;
        self.publish();
        self.machine.written();
        self.counters
            .applied
            .fetch_add(answers.commands, Ordering::Relaxed);
        answers.send();
        Ok(())
    }
}

/// Replies that wait for their batch to be written.
#[derive(Default)]
struct Answers {
    waiting: Vec<(ApplyResponder<Types>, Reply)>,
    commands: u64,
}

impl Answers {
    fn send(&mut self) {
        self.commands = 0;
        for (responder, reply) in self.waiting.drain(..) {
            responder.send(reply);
        }
    }
}

impl<M: Machine> RaftStateMachine<Types> for StateMachine<M> {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.mark.applied, self.mark.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let reader = self.reader.clone();
        let mut changes = Transaction::new(&reader);
        let mut answers = Answers::default();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let reply = match entry.payload {
                EntryPayload::Blank => Reply::default(),
                EntryPayload::Normal(command) => {
                    answers.commands += 1;
                    Reply(self.machine.apply(&mut changes, command.0)?)
                }
                EntryPayload::Membership(membership) => {
                    self.mark.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Reply::default()
                }
            };
            self.mark.applied = Some(entry.log_id);
            answers
                .waiting
                .extend(responder.map(|responder| (responder, reply)));
            if answers.commands as usize >= BATCH_COMMANDS_MAX || changes.bytes() >= BATCH_BYTES_MAX {
                let full = std::mem::replace(&mut changes, Transaction::new(&reader));
                self.commit(full, &mut answers)?;
            }
        }
        Ok(self.commit(changes, &mut answers)?)
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        Some(SnapshotBuilder {
            group: self.group,
            db: Arc::clone(&self.db),
            flush: force,
        })
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            group: self.group,
            db: Arc::clone(&self.db),
            flush: false,
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: SnapshotData) -> Result<(), io::Error> {
        let (folder, meta) = match data {
            SnapshotData::Received(folder) => (folder, meta.clone()),
            // The library offers its own snapshot back at a start; the state is at it or beyond.
            SnapshotData::Local(source) if Arc::ptr_eq(&source, &self.db) => return Ok(()),
            SnapshotData::Local(source) => {
                let (group, folder) = (self.group, self.snapshots.join(format!("{}-copy", self.group)));
                let copied = tokio::task::spawn_blocking(move || snapshot::copy(&source, group, folder));
                copied.await.map_err(|_| Error::Stopped)??
            }
        };
        install(self.group, &self.db, &self.writer, folder, &meta).await?;
        self.machine.reset();
        self.mark = Mark::from_meta(&meta);
        self.publish();
        self.machine.written();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(durable_snapshot(self.group, &self.db)?)
    }
}

/// Puts the marker, installs, and takes the marker away.
async fn install(
    group: GroupId,
    db: &Arc<StateDb>,
    writer: &LogWriter,
    folder: PathBuf,
    meta: &SnapshotMeta,
) -> Result<(), Error> {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let installation = Installation {
        folder: name,
        meta: meta.clone(),
    };
    writer
        .put_fact(group, Fact::Installing, Some(codec::encode(&installation)))
        .await?;
    finish_installation(group, db, writer, folder, meta.clone()).await
}

/// Installs a received snapshot under a marker that is there already, and takes the marker away.
pub(crate) async fn finish_installation(
    group: GroupId,
    db: &Arc<StateDb>,
    writer: &LogWriter,
    folder: PathBuf,
    meta: SnapshotMeta,
) -> Result<(), Error> {
    let db = Arc::clone(db);
    let received = folder.clone();
    tokio::task::spawn_blocking(move || snapshot::install(&db, group, &received, &meta))
        .await
        .map_err(|_| Error::Stopped)??;
    writer.put_fact(group, Fact::Installing, None).await?;
    snapshot::remove(&folder);
    Ok(())
}

/// What is durable is the snapshot: nothing is copied until somebody needs it.
fn durable_snapshot(group: GroupId, db: &Arc<StateDb>) -> Result<Option<Snapshot>, Error> {
    let mark = Mark::decode(db.durable(group)?.as_deref())?;
    Ok(mark.applied.is_some().then(|| Snapshot {
        meta: mark.into_meta(),
        snapshot: SnapshotData::Local(Arc::clone(db)),
    }))
}

/// "Builds" a snapshot by reading how much of the state is durable.
pub(crate) struct SnapshotBuilder {
    group: GroupId,
    db: Arc<StateDb>,
    /// The snapshot has to include all that has been applied. Without it the last periodic flush will do.
    flush: bool,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (group, db, flush) = (self.group, Arc::clone(&self.db), self.flush);
        let built = tokio::task::spawn_blocking(move || {
            if !flush && let Some(snapshot) = durable_snapshot(group, &db)? {
                return Ok(Some(snapshot));
            }
            db.flush()?;
            durable_snapshot(group, &db)
        });
        let snapshot: Result<Option<Snapshot>, Error> = built.await.map_err(|_| Error::Stopped)?;
        // Nothing has been applied: the snapshot of that is empty.
        let empty = || Snapshot {
            meta: SnapshotMeta::default(),
            snapshot: SnapshotData::Local(Arc::clone(&self.db)),
        };
        Ok(snapshot?.unwrap_or_else(empty))
    }
}
