//! Remote writes of several steps, between two entries of their own: what must not be repeated, what is repeated as a whole, and
//! what is taken up where a crash has left it.

use kiln_proto::{
    ids::OplogIndex,
    v1::{BeginIndexEntry, EmptyEntry, function_type, oplog_entry::Entry},
};

use super::step::{StepError, expect};
use crate::journal::{self, Journal};

/// Begins a remote write that must not be repeated: its beginning is committed before its effect.
///
/// # Errors
/// [`StepError::NotRepeatable`] when a crash has interrupted it.
pub async fn begin_marked(journal: &Journal) -> Result<OplogIndex, StepError> {
    let (begin, is_new) = begin_exchange(journal).await?;
    if is_new || has_end(journal, begin)? {
        Ok(begin)
    } else {
        Err(StepError::NotRepeatable)
    }
}

/// Begins a remote write of several steps, each a call of kind [`Kind::WriteRemoteBatched`] with the index returned here.
/// One that a crash has interrupted begins anew: what was recorded of it becomes void.
///
/// # Errors
/// [`StepError::NotRepeatable`] when it must not begin anew: the guest has switched idempotence off, or something else was
/// written to the world since.
pub async fn begin_batch(journal: &Journal, is_idempotent: bool) -> Result<OplogIndex, StepError> {
    let (begin, is_new) = begin_exchange(journal).await?;
    if is_new || journal.is_live() || has_end(journal, begin)? {
        return Ok(begin);
    }
    if !is_idempotent || writes_elsewhere(journal)? {
        return Err(StepError::NotRepeatable);
    }
    journal.jump(begin.next());
    journal.commit().await?;
    Ok(begin)
}

/// Ends a remote write of several steps.
///
/// # Errors
/// See [`StepError`].
pub async fn end_batch(journal: &Journal, begin: OplogIndex) -> Result<(), StepError> {
    if end(journal, begin)? {
        journal.commit().await?;
    }
    Ok(())
}

/// Begins a remote write of several steps that is taken up where a crash has left it, however little is recorded of it.
/// Says whether it begins now.
///
/// # Errors
/// See [`StepError`].
pub async fn begin_exchange(journal: &Journal) -> Result<(OplogIndex, bool), StepError> {
    journal.pass_zone()?;
    if journal.is_live() {
        let begin = journal.append(Entry::BeginRemoteWrite(EmptyEntry {}));
        journal.commit().await?;
        return Ok((begin, true));
    }
    let begin = expect(journal, "begin-remote-write", |entry| {
        matches!(entry, Entry::BeginRemoteWrite(_))
    })?;
    Ok((begin, false))
}

/// Ends what [`begin_exchange`] began, without a commit.
///
/// # Errors
/// See [`StepError`].
pub fn end_exchange(journal: &Journal, begin: OplogIndex) -> Result<(), StepError> {
    end(journal, begin).map(|_| ())
}

/// Records the end of a remote write, or finds it recorded. Says whether it ends now.
fn end(journal: &Journal, begin: OplogIndex) -> Result<bool, StepError> {
    journal.pass_zone()?;
    if journal.is_live() {
        journal.append(Entry::EndRemoteWrite(BeginIndexEntry { begin_index: begin.0 }));
        return Ok(true);
    }
    expect(
        journal,
        "end-remote-write",
        |entry| matches!(entry, Entry::EndRemoteWrite(end) if end.begin_index == begin.0),
    )?;
    Ok(false)
}

/// True when the end of a remote write is recorded ahead.
pub(super) fn has_end(journal: &Journal, begin: OplogIndex) -> Result<bool, journal::Error> {
    journal.finds_ahead(|entry| matches!(entry, Entry::EndRemoteWrite(end) if end.begin_index == begin.0))
}

/// True when something that cannot be made void is recorded ahead: another remote write, or a result that was given out.
fn writes_elsewhere(journal: &Journal) -> Result<bool, journal::Error> {
    journal.finds_ahead(|entry| match entry {
        Entry::ExportedFunctionCompleted(_) => true,
        Entry::ImportedFunctionInvoked(call) => call
            .function_type
            .is_some_and(|ty| ty.kind() == function_type::Kind::WriteRemote),
        _ => false,
    })
}
