//! Moving a worker to another version of its component: asked for, begun, brought about or given up.

use std::ops::ControlFlow;

use kiln_proto::{
    Error, ErrorCode,
    ids::ComponentVersion,
    v1::{
        EmptyEntry, FailedUpdateEntry, ManualUpdate, PendingUpdateEntry, PendingWorkerInvocationEntry,
        UpdateMode, WorkerRecord, WorkerStatus, error_entry, oplog_entry::Entry,
        pending_worker_invocation_entry::Invocation,
    },
};

use super::{
    Actor,
    attend::{Attended, Live, attend},
    body::{Body, Wishes},
    desk::{Desk, Ticket},
    mailbox::{Message, Reply, Update},
};
use crate::{
    host::SnapshotError,
    invoke::outcome::{self, Ending},
};

/// What is to be done with a request for an update.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    /// An earlier attempt of the same request was accepted.
    AcceptedBefore,
}

/// Says whether a worker can be asked for this update.
fn judge(record: &WorkerRecord, is_ephemeral: bool, update: &Update) -> Result<Verdict, Error> {
    let token = &update.token;
    let updates = [
        &record.pending_updates,
        &record.successful_updates,
        &record.failed_updates,
    ];
    let is_known = updates.into_iter().flatten().any(|known| known.token == *token)
        || record
            .pending_invocations
            .iter()
            .any(|queued| queued.token == *token);
    if is_known && !token.is_empty() {
        return Ok(Verdict::AcceptedBefore);
    }
    if is_ephemeral {
        return Err(Error::invalid("Ephemeral workers cannot be updated"));
    }
    match record.status() {
        WorkerStatus::Exited => return Err(outcome::exited_before()),
        WorkerStatus::Failed if update.mode == UpdateMode::SnapshotBased => {
            return Err(outcome::failed_before(record.last_error.as_ref()));
        }
        _ => {}
    }
    if update.mode == UpdateMode::SnapshotBased {
        return Ok(Verdict::Accept);
    }
    let is_same = |pending: &kiln_proto::v1::UpdateRecord| pending.target_version == update.version.0;
    if record.pending_updates.iter().any(is_same) {
        return Err(Error::conflict("The same update is already in progress"));
    }
    if record.component_version == update.version.0 {
        return Err(Error::conflict("Worker is already at the target version"));
    }
    Ok(Verdict::Accept)
}

fn queued_entry(update: &Update) -> Entry {
    Entry::PendingWorkerInvocation(PendingWorkerInvocationEntry {
        invocation: Some(Invocation::ManualUpdate(ManualUpdate {
            target_version: update.version.0,
            token: update.token.clone(),
        })),
    })
}

impl Desk {
    /// Takes in a request for an update while the guest runs.
    pub(super) fn update_meanwhile(&mut self, live: &Live<'_>, update: Update) {
        let verdict = match live.seat.record() {
            // It is about to be created; the request waits for that.
            Ok(None) => Ok(Verdict::Accept),
            Ok(Some(record)) => judge(&record, live.is_ephemeral, &update),
            Err(error) => Err(error),
        };
        match verdict {
            Err(error) => {
                let _ = update.reply.send(Err(error));
            }
            Ok(Verdict::AcceptedBefore) => {
                let _ = update.reply.send(Ok(()));
            }
            Ok(Verdict::Accept) if update.mode == UpdateMode::SnapshotBased => {
                live.journal.append(queued_entry(&update));
                self.queue.push_back(Ticket::of_update(update.version, 0));
                live.commit_and_tell(update.reply);
            }
            Ok(Verdict::Accept) => self.defer(Message::Update(update)),
        }
    }
}

impl Actor {
    /// Takes in a request for an update while nothing runs.
    pub(super) async fn update(&mut self, update: Update) -> ControlFlow<()> {
        let verdict = async {
            let record = self.settled().await?;
            let registry = &self.seat.context.registry;
            let version = ComponentVersion(record.component_version);
            let is_ephemeral = registry.version(self.seat.id.component, version).await?.ephemeral;
            Ok::<_, Error>((judge(&record, is_ephemeral, &update)?, record))
        };
        let reply_early = |reply: Reply<()>, outcome| {
            let _ = reply.send(outcome);
            ControlFlow::Continue(())
        };
        let record = match verdict.await {
            Ok((Verdict::Accept, record)) => record,
            Ok((Verdict::AcceptedBefore, _)) => return reply_early(update.reply, Ok(())),
            Err(error) => return reply_early(update.reply, Err(error)),
        };
        match update.mode {
            UpdateMode::Automatic => self.begin_update(update, &record).await,
            UpdateMode::SnapshotBased => self.queue_update(update).await,
        }
    }

    /// The next life of the worker is one of the new version.
    async fn begin_update(&mut self, update: Update, record: &WorkerRecord) -> ControlFlow<()> {
        let mut entries = vec![Entry::PendingUpdate(PendingUpdateEntry {
            target_version: update.version.0,
            snapshot: None,
            token: update.token,
        })];
        if record.status() == WorkerStatus::WorkerInterrupted {
            entries.push(Entry::Restart(EmptyEntry {}));
        }
        match self.leave_with(entries).await {
            Ok(_) => {
                self.desk.is_wanted = true;
                let _ = update.reply.send(Ok(()));
                ControlFlow::Continue(())
            }
            Err(error) => {
                let _ = update.reply.send(Err(error.clone()));
                self.stop(&error)
            }
        }
    }

    async fn queue_update(&mut self, update: Update) -> ControlFlow<()> {
        if let Err(error) = self.open(Wishes::default()).await {
            let _ = update.reply.send(Err(error));
            return ControlFlow::Continue(());
        }
        let Some(body) = &mut self.body else {
            return ControlFlow::Continue(());
        };
        body.journal.append(queued_entry(&update));
        body.rouse();
        if let Err(error) = body.commit().await {
            let error = outcome::lost(&error);
            let _ = update.reply.send(Err(error.clone()));
            return self.stop(&error);
        }
        self.desk.queue.push_back(Ticket::of_update(update.version, 0));
        self.desk.is_wanted = true;
        let _ = update.reply.send(Ok(()));
        ControlFlow::Continue(())
    }

    /// The turn of a snapshot-based update has come: has the old version save its state and begins the new one with it.
    pub(super) async fn save_for(&mut self, version: ComponentVersion) -> ControlFlow<()> {
        let Some(body) = &mut self.body else {
            return ControlFlow::Continue(());
        };
        let (journal, component, flag) = (
            body.journal.clone(),
            body.component.clone(),
            body.is_committing.clone(),
        );
        let live = Live::of(&self.seat, &journal, &component, body.is_ephemeral);
        let Some(resident) = &mut body.resident else {
            return ControlFlow::Continue(());
        };
        let work = resident.instance.save_snapshot();
        let entry = match attend(&mut self.mailbox, &mut self.desk, &live, &flag, work).await {
            Attended::Halted => return self.halt().await,
            Attended::Done(Ok(snapshot)) => Entry::PendingUpdate(PendingUpdateEntry {
                target_version: version.0,
                snapshot: Some(snapshot),
                ..PendingUpdateEntry::default()
            }),
            Attended::Done(Err(SnapshotError::Call(crate::host::CallError::Journal(error)))) => {
                return self.stop(&outcome::lost(&error));
            }
            Attended::Done(Err(error)) => {
                failed_entry(version, format!("failed to get manual update snapshot: {error}"))
            }
        };
        if let Err(error) = self.leave(entry).await {
            return self.stop(&error);
        }
        // Waits for nobody: who asked for the update has had an answer when it was queued.
        self.desk.current = None;
        if self.desk.halt.is_some() {
            return self.halt().await;
        }
        ControlFlow::Continue(())
    }

    /// Why the update under way comes to nothing with this ending of a stretch of work, if it does.
    pub(super) fn update_failure(&self, ending: &Ending) -> Option<(ComponentVersion, String)> {
        let body = self.body.as_ref()?;
        let update = body.open_update()?;
        let reason = match ending {
            // Lack of memory is no fault of the new version: it is loaded again when there is room.
            Ending::Failed(failure) if failure.kind != error_entry::Kind::OutOfMemory => {
                failure.message.clone()
            }
            Ending::Refused(error) if !error.is_retryable() && error.code != ErrorCode::Interrupted => {
                error.message.clone()
            }
            Ending::Exited if update.is_snapshot_based || !body.journal.is_live() => {
                "the guest exited".to_owned()
            }
            _ => return None,
        };
        let what = if update.is_snapshot_based {
            "Manual update failed to load snapshot"
        } else {
            "Automatic update failed"
        };
        Some((update.version, format!("{what}: {reason}")))
    }

    /// Gives the update up: the worker goes on with its old version.
    pub(super) async fn give_up_update(
        &mut self,
        version: ComponentVersion,
        details: String,
    ) -> ControlFlow<()> {
        tracing::info!(worker = %self.seat.id, %version, details, "an update failed");
        if let Err(error) = self.leave(failed_entry(version, details)).await {
            return self.stop(&error);
        }
        if self.desk.halt.is_some() {
            return self.halt().await;
        }
        ControlFlow::Continue(())
    }

    /// Makes the body of a recorded worker. An update to a version that cannot be had is given up.
    pub(super) async fn embody(&mut self, record: &mut WorkerRecord) -> Result<Body, Error> {
        loop {
            let error = match Body::of_record(&self.seat, record).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let update = record.pending_updates.first();
            let Some(update) = update.filter(|_| !error.is_retryable()) else {
                return Err(error);
            };
            let version = ComponentVersion(update.target_version);
            let entry = failed_entry(version, format!("Automatic update failed: {error}"));
            *record = self.seat.append(record, vec![entry]).await?;
        }
    }
}

fn failed_entry(version: ComponentVersion, details: String) -> Entry {
    Entry::FailedUpdate(FailedUpdateEntry {
        target_version: version.0,
        details: Some(details),
    })
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1::UpdateRecord;
    use tokio::sync::oneshot;

    use super::*;

    fn update(version: u64, mode: UpdateMode, token: &'static [u8]) -> Update {
        Update {
            version: ComponentVersion(version),
            mode,
            token: token.into(),
            reply: oneshot::channel().0,
        }
    }

    #[test]
    fn a_request_counts_once_and_senseless_ones_are_refused() {
        let record = WorkerRecord {
            component_version: 1,
            pending_updates: vec![UpdateRecord {
                target_version: 2,
                token: b"t".as_slice().into(),
                ..UpdateRecord::default()
            }],
            ..WorkerRecord::default()
        };
        let verdict = |update: &Update, is_ephemeral| {
            judge(&record, is_ephemeral, update).map_err(|error| error.message)
        };
        let automatic = UpdateMode::Automatic;
        let refused = |message: &str| Err(message.to_owned());
        assert_eq!(verdict(&update(3, automatic, b"u"), false), Ok(Verdict::Accept));
        assert_eq!(
            verdict(&update(2, automatic, b"t"), false),
            Ok(Verdict::AcceptedBefore)
        );
        assert_eq!(
            verdict(&update(2, automatic, b"u"), false),
            refused("The same update is already in progress")
        );
        assert_eq!(
            verdict(&update(1, automatic, b"u"), false),
            refused("Worker is already at the target version")
        );
        assert_eq!(
            verdict(&update(3, automatic, b"u"), true),
            refused("Ephemeral workers cannot be updated")
        );
        let again = update(1, UpdateMode::SnapshotBased, b"u");
        assert_eq!(verdict(&again, false), Ok(Verdict::Accept));
    }
}
