use kiln_proto::{
    Error,
    ids::{OplogIndex, WorkerId},
    v1::{
        ExportedFunctionInvokedEntry, OplogEntry, Value, oplog_entry::Entry,
        pending_worker_invocation_entry::Invocation, value::Kind,
    },
};

use super::contract::{first_index, is_process};
use crate::host::Cluster;

/// Entries that are read at once.
const PAGE: u64 = 100;

/// What a processor's oplog says of its last batch.
#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    /// It has not been given any.
    Nothing,
    /// Everything before `next` has been processed.
    Done { next: OplogIndex },
    /// It refused the batch that begins at `first`; that was at this place of its oplog.
    Refused { first: OplogIndex, at: OplogIndex },
    /// It has been given the batch that begins at `first`, and has not said what came of it; that was at this place of its
    /// oplog. Behind the batch it goes on at `next`.
    Begun {
        call: ExportedFunctionInvokedEntry,
        first: OplogIndex,
        at: OplogIndex,
        next: OplogIndex,
    },
}

impl Progress {
    /// Reads a processor's oplog from its end to the beginning of the last call.
    pub(super) async fn of(cluster: &dyn Cluster, processor: &WorkerId) -> Result<Self, Error> {
        let Some(record) = cluster.worker(processor).await? else {
            return Ok(Self::Nothing);
        };
        let mut behind: Vec<(OplogIndex, OplogEntry)> = Vec::new();
        let mut end = record.oplog_index + 1;
        while end > 1 {
            let begin = end.saturating_sub(PAGE).max(1);
            let mut page = page(cluster, processor, begin, end).await?;
            if page.is_empty() {
                break;
            }
            page.append(&mut behind);
            behind = page;
            if let Some(progress) = read(&behind) {
                return Ok(progress);
            }
            // Only what may still belong to the call is kept.
            end = begin;
        }
        Ok(Self::Nothing)
    }
}

/// Entries from `begin` to before `end`.
async fn page(
    cluster: &dyn Cluster,
    worker: &WorkerId,
    begin: u64,
    end: u64,
) -> Result<Vec<(OplogIndex, OplogEntry)>, Error> {
    let mut entries = Vec::new();
    let mut next = begin;
    while next != 0 && next < end {
        let found = cluster.oplog(worker, OplogIndex(next), "").await?;
        let Some(found) = found.filter(|found| !found.entries.is_empty()) else {
            break;
        };
        let wanted = found.entries.into_iter().filter(|entry| entry.index < end);
        entries.extend(wanted.filter_map(|entry| Some((OplogIndex(entry.index), entry.entry?))));
        next = found.next;
    }
    Ok(entries)
}

/// The last call among the entries, and what came of it; `None` when none begins there.
fn read(entries: &[(OplogIndex, OplogEntry)]) -> Option<Progress> {
    let mut answer: Option<Option<&Value>> = None;
    for (index, entry) in entries.iter().rev() {
        match &entry.entry {
            Some(Entry::ExportedFunctionCompleted(completed)) => answer = Some(completed.response.as_ref()),
            Some(Entry::ExportedFunctionInvoked(call)) => match is_process(&call.function_name) {
                true => return progress(*index, call, answer),
                false => answer = None,
            },
            // Accepted and not begun: the entry that begins a call would have come first.
            Some(Entry::PendingWorkerInvocation(pending)) => {
                if let Some(Invocation::ExportedFunction(call)) = &pending.invocation
                    && is_process(&call.function_name)
                {
                    return progress(*index, call, None);
                }
            }
            _ => {}
        }
    }
    None
}

fn progress(
    at: OplogIndex,
    call: &ExportedFunctionInvokedEntry,
    answer: Option<Option<&Value>>,
) -> Option<Progress> {
    let first = first_index(&call.request)?;
    let count = match &call.request.last()?.kind {
        Some(Kind::List(list)) => list.values.len() as u64,
        _ => return None,
    };
    let next = OplogIndex(first.0 + count);
    Some(
        match answer.map(|answer| answer.and_then(|answer| answer.kind.as_ref())) {
            None => Progress::Begun {
                call: call.clone(),
                first,
                at,
                next,
            },
            Some(Some(Kind::Result(result))) if !result.is_error => Progress::Done { next },
            Some(_) => Progress::Refused { first, at },
        },
    )
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1::{ExportedFunctionCompletedEntry, PendingWorkerInvocationEntry, ResultValue};

    use super::{super::contract::PROCESS, *};

    fn call(first: u64, count: usize) -> ExportedFunctionInvokedEntry {
        let entries: Value = vec![Value::from(0_u64); count].into_iter().collect();
        ExportedFunctionInvokedEntry {
            function_name: PROCESS.into(),
            request: vec![Value::from(first), entries],
            idempotency_key: format!("from-{first}"),
            ..ExportedFunctionInvokedEntry::default()
        }
    }

    fn completed(is_error: bool) -> Entry {
        let response = Value::from(Kind::Result(Box::new(ResultValue {
            is_error,
            payload: None,
        })));
        Entry::ExportedFunctionCompleted(ExportedFunctionCompletedEntry {
            response: Some(response),
            ..ExportedFunctionCompletedEntry::default()
        })
    }

    #[test]
    fn the_last_call_tells_how_far_a_processor_is() {
        let invoked = |first, count| Entry::ExportedFunctionInvoked(call(first, count));
        let other = || Entry::ExportedFunctionInvoked(ExportedFunctionInvokedEntry::default());
        let pending = |first, count| {
            Entry::PendingWorkerInvocation(PendingWorkerInvocationEntry {
                invocation: Some(Invocation::ExportedFunction(call(first, count))),
            })
        };
        let next = |index| OplogIndex(index);
        let cases = [
            (vec![], None),
            (
                vec![invoked(1, 3), completed(false)],
                Some(Progress::Done { next: next(4) }),
            ),
            (
                vec![invoked(1, 3), completed(false), invoked(4, 2)],
                Some(Progress::Begun {
                    call: call(4, 2),
                    first: next(4),
                    at: next(3),
                    next: next(6),
                }),
            ),
            (
                vec![invoked(1, 3), completed(false), invoked(4, 2), completed(true)],
                Some(Progress::Refused {
                    first: next(4),
                    at: next(3),
                }),
            ),
            // Other functions of the same worker say nothing.
            (
                vec![invoked(1, 3), completed(false), other(), completed(true)],
                Some(Progress::Done { next: next(4) }),
            ),
            (
                vec![
                    invoked(1, 3),
                    completed(false),
                    other(),
                    pending(4, 1),
                    completed(true),
                ],
                Some(Progress::Begun {
                    call: call(4, 1),
                    first: next(4),
                    at: next(4),
                    next: next(5),
                }),
            ),
        ];
        for (entries, expected) in cases {
            let entry = |(index, entry)| {
                let timestamp_ns = 0;
                (
                    OplogIndex(index),
                    OplogEntry {
                        timestamp_ns,
                        entry: Some(entry),
                    },
                )
            };
            let entries: Vec<_> = (1..).zip(entries).map(entry).collect();
            assert_eq!(read(&entries), expected);
        }
    }
}
