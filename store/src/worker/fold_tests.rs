//! One line a case: an oplog, and what it amounts to.

use kiln_proto::v1::{
    BeginIndexEntry, EmptyEntry, ExportedFunctionCompletedEntry, FailedUpdateEntry, KeyEntry, LogEntry,
    ManualUpdate, PendingUpdateEntry, RegionEntry, RetryPolicy, RevertEntry, SuccessfulUpdateEntry,
    SuspendEntry, WorkerId, error_entry::Kind,
};

use super::*;

fn create() -> Entry {
    let worker_id = Some(WorkerId {
        component_id: vec![7; 16].into(),
        name: "w".into(),
    });
    Entry::Create(CreateEntry {
        worker_id,
        component_version: 3,
        initial_memory_size: 100,
        ..Default::default()
    })
}

fn function(key: &str) -> ExportedFunctionInvokedEntry {
    ExportedFunctionInvokedEntry {
        idempotency_key: key.into(),
        function_name: "f".into(),
        ..Default::default()
    }
}

fn pending(key: &str) -> Entry {
    let invocation = Some(Invocation::ExportedFunction(function(key)));
    Entry::PendingWorkerInvocation(PendingWorkerInvocationEntry { invocation })
}

fn invoked(key: &str) -> Entry {
    Entry::ExportedFunctionInvoked(function(key))
}

fn completed() -> Entry {
    Entry::ExportedFunctionCompleted(ExportedFunctionCompletedEntry::default())
}

fn error(kind: Kind, retry_from: u64) -> Entry {
    Entry::Error(ErrorEntry {
        kind: kind.into(),
        retry_from,
        ..Default::default()
    })
}

fn trap(retry_from: u64) -> Entry {
    error(Kind::Unknown, retry_from)
}

fn empty(kind: fn(EmptyEntry) -> Entry) -> Entry {
    kind(EmptyEntry {})
}

fn update(target_version: u64) -> Entry {
    Entry::PendingUpdate(PendingUpdateEntry {
        target_version,
        ..PendingUpdateEntry::default()
    })
}

fn revert(start: u64, end: u64) -> Entry {
    Entry::Revert(RevertEntry {
        start,
        end,
        ..RevertEntry::default()
    })
}

fn attempts(max_attempts: u32) -> Entry {
    Entry::ChangeRetryPolicy(RetryPolicy {
        max_attempts,
        ..Default::default()
    })
}

fn fold(entries: &[Entry]) -> Fold {
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| OplogEntry {
            timestamp_ns: 5,
            entry: Some(entry.clone()),
        })
        .collect();
    let whole = Fold::all((1..).zip(&entries));
    // Folding entry by entry, each on top of the stored record, comes to the same unless history was rewritten.
    let mut stepwise = Fold::default();
    let mut rewritten = false;
    for (index, entry) in (1..).zip(&entries) {
        stepwise = Fold {
            keys: stepwise.keys,
            ..Fold::from(stepwise.record)
        };
        stepwise.add(index, entry);
        rewritten |= stepwise.must_refold;
    }
    assert!(rewritten || stepwise == whole, "{stepwise:#?}\n{whole:#?}");
    whole
}

#[test]
fn status_is_what_the_last_entries_say() {
    use WorkerStatus::{Exited, Failed, Idle, Retrying, Running, Suspended, WorkerInterrupted};
    let cases: Vec<(&str, Vec<Entry>, WorkerStatus)> = vec![
        ("created", vec![create()], Idle),
        ("queued", vec![create(), pending("k")], Idle),
        ("running", vec![create(), pending("k"), invoked("k")], Running),
        (
            "done",
            vec![create(), pending("k"), invoked("k"), completed()],
            Idle,
        ),
        (
            "at work",
            vec![create(), invoked("k"), empty(Entry::NoOp)],
            Running,
        ),
        (
            "asleep",
            vec![create(), invoked("k"), Entry::Suspend(SuspendEntry::default())],
            Suspended,
        ),
        (
            "woken",
            vec![
                create(),
                invoked("k"),
                Entry::Suspend(SuspendEntry::default()),
                empty(Entry::NoOp),
            ],
            Running,
        ),
        (
            "interrupted",
            vec![create(), invoked("k"), empty(Entry::Interrupted)],
            WorkerInterrupted,
        ),
        (
            "exited",
            vec![create(), invoked("k"), empty(Entry::Exited)],
            Exited,
        ),
        (
            "restarted",
            vec![
                create(),
                invoked("k"),
                empty(Entry::Interrupted),
                empty(Entry::Restart),
            ],
            Running,
        ),
        (
            "restarted with nothing begun",
            vec![create(), empty(Entry::Interrupted), empty(Entry::Restart)],
            Idle,
        ),
        ("first error", vec![create(), invoked("k"), trap(2)], Retrying),
        (
            "second error",
            vec![create(), invoked("k"), trap(2), trap(2)],
            Retrying,
        ),
        (
            "third error",
            vec![create(), invoked("k"), trap(2), trap(2), trap(2)],
            Failed,
        ),
        (
            "errors elsewhere",
            vec![create(), invoked("k"), trap(2), trap(2), trap(5)],
            Retrying,
        ),
        (
            "own policy",
            vec![create(), invoked("k"), attempts(1), trap(2)],
            Failed,
        ),
        (
            "invalid request",
            vec![create(), invoked("k"), error(Kind::InvalidRequest, 2)],
            Failed,
        ),
        (
            "stack overflow",
            vec![create(), invoked("k"), error(Kind::StackOverflow, 2)],
            Failed,
        ),
        (
            "queue of a failed one",
            vec![create(), invoked("k"), attempts(1), trap(2), pending("l")],
            Failed,
        ),
        (
            "update of a failed one",
            vec![create(), invoked("k"), attempts(1), trap(2), update(4)],
            Retrying,
        ),
        ("update of an idle one", vec![create(), update(4)], Idle),
        (
            "log of an idle one",
            vec![create(), Entry::Log(LogEntry::default())],
            Idle,
        ),
        (
            "log at work",
            vec![
                create(),
                invoked("k"),
                Entry::Suspend(SuspendEntry::default()),
                Entry::Log(LogEntry::default()),
            ],
            Running,
        ),
        (
            "reverted",
            vec![create(), invoked("k"), attempts(1), trap(2), revert(2, 4)],
            Idle,
        ),
        (
            "reverted in part",
            vec![create(), invoked("k"), completed(), revert(3, 3)],
            Running,
        ),
        (
            "jumped",
            vec![
                create(),
                invoked("k"),
                trap(2),
                Entry::Jump(RegionEntry { start: 3, end: 4 }),
            ],
            Running,
        ),
        (
            "atomic",
            vec![
                create(),
                invoked("k"),
                Entry::EndAtomicRegion(BeginIndexEntry { begin_index: 2 }),
            ],
            Running,
        ),
    ];
    for (what, entries, expected) in cases {
        let record = fold(&entries).record;
        assert_eq!(record.status(), expected, "{what}");
        assert_eq!(record.oplog_index, entries.len() as u64, "{what}");
    }
}

#[test]
fn keys_are_pending_then_running_then_done() {
    let states = |entries: &[Entry], key: &str| {
        let changes = fold(entries).keys;
        let last = changes.into_iter().rfind(|change| change.key == key);
        last.and_then(|change| change.record)
            .map(|record| (record.state(), record.oplog_index))
    };
    let call = [create(), pending("k"), invoked("k"), completed()];
    assert_eq!(states(&call[..1], "k"), None);
    assert_eq!(states(&call[..2], "k"), Some((State::Pending, 2)));
    assert_eq!(states(&call[..3], "k"), Some((State::RunningNow, 3)));
    assert_eq!(states(&call, "k"), Some((State::Done, 4)));
    // An error that is retried is no result; the last one is.
    let failing = [create(), invoked("k"), trap(2), trap(2), trap(2)];
    assert_eq!(states(&failing[..4], "k"), Some((State::RunningNow, 2)));
    assert_eq!(states(&failing, "k"), Some((State::Done, 5)));
    assert_eq!(
        states(&[create(), invoked("k"), empty(Entry::Exited)], "k"),
        Some((State::Done, 3))
    );
    assert_eq!(
        states(&[create(), invoked("k"), empty(Entry::Interrupted)], "k"),
        Some((State::RunningNow, 2))
    );
    // Cancelled or reverted, a key may be used again.
    let cancel = Entry::CancelInvocation(KeyEntry {
        idempotency_key: "k".into(),
    });
    assert_eq!(states(&[create(), pending("k"), cancel], "k"), None);
    assert_eq!(
        states(
            &[create(), pending("k"), invoked("k"), completed(), revert(2, 4)],
            "k"
        ),
        None
    );
    // Also when it was accepted before what was taken back: it does not run again by itself.
    let begun = [create(), pending("k"), invoked("k"), completed(), revert(3, 4)];
    assert_eq!(states(&begun, "k"), None);
    assert!(fold(&begun).record.pending_invocations.is_empty());
}

#[test]
fn queues_and_updates_are_kept() {
    let record = fold(&[create(), pending("a"), pending("b"), invoked("a")]).record;
    let waiting: Vec<_> = record
        .pending_invocations
        .iter()
        .map(|pending| pending.idempotency_key.as_str())
        .collect();
    assert_eq!(waiting, ["b"]);
    assert_eq!(record.current_idempotency_key.as_deref(), Some("a"));
    assert_eq!(record.current_invocation_index, 4);

    let successful = Entry::SuccessfulUpdate(SuccessfulUpdateEntry {
        target_version: 4,
        new_component_size: 9,
    });
    let record = fold(&[create(), update(4), successful]).record;
    assert_eq!((record.component_version, record.component_size), (4, 9));
    assert_eq!(
        (record.pending_updates.len(), record.successful_updates.len()),
        (0, 1)
    );

    let failed = Entry::FailedUpdate(FailedUpdateEntry {
        target_version: 4,
        details: Some("no".into()),
    });
    let record = fold(&[create(), update(4), failed]).record;
    assert_eq!(record.component_version, 3);
    assert_eq!(record.failed_updates[0].details.as_deref(), Some("no"));
}

#[test]
fn a_snapshot_takes_the_place_of_what_came_before_it() {
    let regions = |record: &WorkerRecord| -> Vec<(u64, u64)> {
        let skipped = record.skipped_regions.iter();
        skipped.map(|region| (region.start, region.end)).collect()
    };
    let manual = || {
        let update = ManualUpdate {
            target_version: 4,
            ..ManualUpdate::default()
        };
        Entry::PendingWorkerInvocation(PendingWorkerInvocationEntry {
            invocation: Some(Invocation::ManualUpdate(update)),
        })
    };
    let snapshot = || {
        Entry::PendingUpdate(PendingUpdateEntry {
            target_version: 4,
            snapshot: Some(b"state".as_slice().into()),
            ..PendingUpdateEntry::default()
        })
    };
    let failed = || {
        Entry::FailedUpdate(FailedUpdateEntry {
            target_version: 4,
            details: None,
        })
    };
    let successful = Entry::SuccessfulUpdate(SuccessfulUpdateEntry {
        target_version: 4,
        new_component_size: 9,
    });
    let queued = fold(&[create(), manual()]).record;
    assert_eq!(queued.pending_invocations[0].update_version, Some(4));
    let begun = fold(&[create(), manual(), snapshot()]).record;
    assert!(begun.pending_invocations.is_empty() && begun.pending_updates[0].is_snapshot_based);
    assert_eq!((begun.component_version, begun.snapshot_index), (3, 0));

    let done = fold(&[create(), manual(), snapshot(), successful.clone()]).record;
    assert_eq!((done.component_version, done.snapshot_index), (4, 3));
    assert_eq!(regions(&done), [(2, 3)]);
    // Taken back, the worker begins at its beginning again.
    let back = fold(&[create(), manual(), snapshot(), successful, revert(3, 4)]).record;
    assert_eq!((back.component_version, back.snapshot_index), (3, 0));
    assert_eq!(
        back.pending_invocations,
        [],
        "what was undone does not happen again"
    );
    assert_eq!(regions(&back), []);

    let noop = empty(Entry::NoOp);
    let refused = fold(&[create(), manual(), snapshot(), noop, failed()]).record;
    assert_eq!((refused.component_version, refused.snapshot_index), (3, 0));
    assert_eq!(regions(&refused), [(4, 5)]);
    let not_saved = fold(&[create(), manual(), failed()]).record;
    assert!(not_saved.pending_invocations.is_empty() && regions(&not_saved).is_empty());
    assert_eq!(not_saved.failed_updates.len(), 1);
}

#[test]
fn attempts_are_counted_for_one_invocation() {
    let record = fold(&[create(), invoked("k"), trap(2), trap(2)]).record;
    assert_eq!((record.retry_count, record.retry_from), (2, 2));
    assert!(record.last_error.is_some());
    let record = fold(&[
        create(),
        invoked("k"),
        trap(2),
        trap(2),
        completed(),
        invoked("l"),
    ])
    .record;
    assert_eq!(record.retry_count, 0);
    assert!(record.last_error.is_none());
}
