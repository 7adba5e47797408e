//! Taking a worker back to an earlier point of its oplog.

use std::{collections::VecDeque, ops::ControlFlow};

use kiln_proto::{
    Error,
    ids::OplogIndex,
    v1::{
        OplogEntry, RevertEntry, WorkerRecord, oplog_entry::Entry, revert_worker_request::Target as Wanted,
    },
};
use prost::Message as _;

use super::{Actor, Seat, mailbox::Revert, requests::has_work};
use crate::{invoke::outcome, journal::Regions};

/// Entries that are read at a time.
const PAGE_ENTRIES: usize = 1024;
const PAGE_BYTES: usize = 4 << 20;

impl Actor {
    /// Takes the worker back. Nothing runs.
    pub(super) async fn revert(&mut self, revert: Revert) -> ControlFlow<()> {
        let plan = async {
            let record = self.settled().await?;
            if !revert.token.is_empty() && record.revert_token == revert.token {
                return Ok(None);
            }
            let kept = last_kept(&self.seat, &record, revert.target)?;
            Ok::<_, Error>((kept.0 < record.oplog_index).then_some((kept, record)))
        };
        let (kept, record) = match plan.await {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                let _ = revert.reply.send(Ok(()));
                return ControlFlow::Continue(());
            }
            Err(error) => {
                let _ = revert.reply.send(Err(error));
                return ControlFlow::Continue(());
            }
        };
        self.desk.give_up(&outcome::reverted());
        let entry = Entry::Revert(RevertEntry {
            start: kept.next().0,
            end: record.oplog_index,
            token: revert.token,
        });
        match self.leave(entry).await {
            Ok(record) => {
                self.desk.is_wanted = has_work(&record);
                let _ = revert.reply.send(Ok(()));
                ControlFlow::Continue(())
            }
            Err(error) => {
                let _ = revert.reply.send(Err(error.clone()));
                self.stop(&error)
            }
        }
    }
}

/// The last entry that stays.
fn last_kept(seat: &Seat, record: &WorkerRecord, target: Wanted) -> Result<OplogIndex, Error> {
    let deleted: Regions = record.deleted_regions.iter().collect();
    match target {
        Wanted::ToIndex(index) => check_index(OplogIndex(index), record, &deleted),
        Wanted::LastInvocations(0) => Ok(OplogIndex(record.oplog_index)),
        Wanted::LastInvocations(count) => before_last(seat, record, &deleted, count),
    }
}

fn check_index(index: OplogIndex, record: &WorkerRecord, deleted: &Regions) -> Result<OplogIndex, Error> {
    if index == OplogIndex::NONE {
        return Err(Error::invalid("Cannot revert to oplog index 0")
            .with_hint("delete the worker to start it afresh"));
    }
    if index.0 > record.oplog_index {
        return Err(Error::invalid(format!(
            "Cannot revert to oplog index {index}: the last one is {}",
            record.oplog_index
        )));
    }
    if deleted.end_of(index).is_some() {
        return Err(Error::invalid(format!(
            "Cannot revert to oplog index {index}: it was deleted by an earlier revert"
        )));
    }
    Ok(index)
}

/// The entry before the last `count` invocations that count.
fn before_last(
    seat: &Seat,
    record: &WorkerRecord,
    deleted: &Regions,
    count: u64,
) -> Result<OplogIndex, Error> {
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut begun: VecDeque<OplogIndex> = VecDeque::new();
    let mut next = OplogIndex::FIRST;
    while next.0 <= record.oplog_index {
        let page = seat.shard.read_oplog(&seat.id, next, PAGE_ENTRIES, PAGE_BYTES)?;
        let Some((last, _)) = page.last() else { break };
        next = last.next();
        for (index, entry) in page {
            let entry = OplogEntry::decode(entry)
                .map_err(|_| Error::corrupt(format!("entry {index} of worker {} cannot be read", seat.id)))?;
            if matches!(entry.entry, Some(Entry::ExportedFunctionInvoked(_)))
                && deleted.end_of(index).is_none()
            {
                begun.push_back(index);
                if begun.len() > wanted {
                    begun.pop_front();
                }
            }
        }
    }
    match begun.front() {
        Some(first) if begun.len() == wanted => Ok(OplogIndex(first.0 - 1)),
        _ => Err(Error::invalid(format!(
            "Cannot revert {count} invocations: there are only {}",
            begun.len()
        ))),
    }
}
