use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use kiln_proto::{
    ids::{ComponentId, Epoch, OplogIndex, WorkerId},
    v1::{CreateEntry, EmptyEntry, LogEntry, RegionEntry, oplog_entry::Entry},
};
use proptest::prelude::*;

use super::{Error, Journal, MemoryOplog, OplogStore, Options, PageLimits, Regions};

fn worker() -> WorkerId {
    WorkerId {
        component: ComponentId(uuid::Uuid::nil()),
        name: "w".parse().expect("a valid name"),
    }
}

fn open(store: &Arc<MemoryOplog>, skipped: &[(u64, u64)]) -> Journal {
    let regions: Vec<RegionEntry> = skipped
        .iter()
        .map(|&(start, end)| RegionEntry { start, end })
        .collect();
    let mut options = Options::new(worker(), Epoch(1), store.last());
    options.skipped = regions.iter().collect::<Regions>();
    Journal::open(store.clone(), options).expect("a readable oplog")
}

fn no_op() -> Entry {
    Entry::NoOp(EmptyEntry {})
}

fn log(message: &str) -> Entry {
    Entry::Log(LogEntry {
        message: message.to_owned(),
        ..LogEntry::default()
    })
}

async fn recorded(entries: Vec<Entry>) -> Arc<MemoryOplog> {
    let store = Arc::new(MemoryOplog::default());
    let journal = open(&store, &[]);
    for entry in entries {
        journal.append(entry);
    }
    journal.commit().await.expect("a vector takes everything");
    store
}

fn replay(journal: &Journal) -> Vec<u64> {
    std::iter::from_fn(|| journal.take().expect("a readable oplog"))
        .map(|(index, _)| index.0)
        .collect()
}

#[tokio::test]
async fn one_commit_takes_the_whole_tail() {
    let store = Arc::new(MemoryOplog::default());
    let journal = open(&store, &[]);
    assert_eq!(
        journal.append(Entry::Create(CreateEntry::default())),
        OplogIndex(1)
    );
    assert_eq!(journal.append(no_op()), OplogIndex(2));
    assert_eq!((store.last(), journal.uncommitted_len()), (OplogIndex(0), 2));
    assert_eq!(journal.commit().await.expect("committed"), OplogIndex(2));
    assert_eq!(journal.commit().await.expect("nothing to do"), OplogIndex(2));
    assert_eq!(
        (store.last(), journal.commits(), journal.next_index()),
        (OplogIndex(2), 1, OplogIndex(3))
    );
}

#[tokio::test]
async fn replay_passes_hints_and_skipped_regions_and_ends_where_only_those_are_left() {
    let create = Entry::Create(CreateEntry::default());
    let store = recorded(vec![
        create,
        no_op(),
        log("a"),
        no_op(),
        no_op(),
        no_op(),
        log("b"),
    ])
    .await;
    let journal = open(&store, &[(4, 5)]);
    assert!(!journal.is_live());
    assert_eq!(replay(&journal), [1, 2, 6]);
    assert!(journal.is_live());
    assert_eq!(journal.take_passed_logs().len(), 2);
    assert_eq!(journal.append(no_op()), OplogIndex(8));
}

#[tokio::test]
async fn entries_may_be_appended_while_replay_goes_on() {
    let store = recorded(vec![Entry::Create(CreateEntry::default()), no_op()]).await;
    let journal = open(&store, &[]);
    journal.append(Entry::PendingWorkerInvocation(
        kiln_proto::v1::PendingWorkerInvocationEntry::default(),
    ));
    journal.commit().await.expect("committed");
    assert_eq!(replay(&journal), [1, 2]);
    assert_eq!(journal.next_index(), OplogIndex(4));
}

#[tokio::test]
async fn hints_do_not_move_where_execution_stands() {
    let create = Entry::Create(CreateEntry::default());
    let store = recorded(vec![create, no_op(), log("a")]).await;
    let journal = open(&store, &[]);
    let current = |journal: &Journal| journal.current_index().0;
    assert_eq!(current(&journal), 0);
    assert_eq!(replay(&journal), [1, 2]);
    assert_eq!(current(&journal), 2);
    journal.append(log("b"));
    assert_eq!(current(&journal), 2);
    journal.append(no_op());
    assert_eq!(current(&journal), 5);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let count = PageLimits::default().entries_max as u64 * 2 + 3;
    let store = recorded((0..count).map(|_| no_op()).collect()).await;
    assert_eq!(replay(&open(&store, &[])), (1..=count).collect::<Vec<_>>());
}

/// Refuses appends while `fails` is set.
#[derive(Default)]
struct Failing {
    fails: AtomicBool,
}

#[async_trait::async_trait]
impl OplogStore for Failing {
    async fn append(
        &self,
        _: &WorkerId,
        _: Epoch,
        _: OplogIndex,
        _: Vec<Bytes>,
    ) -> Result<(), kiln_proto::Error> {
        if self.fails.load(Ordering::Relaxed) {
            Err(kiln_proto::Error::unavailable("no majority"))
        } else {
            Ok(())
        }
    }

    fn read(
        &self,
        _: &WorkerId,
        _: OplogIndex,
        _: PageLimits,
    ) -> Result<Vec<(OplogIndex, Bytes)>, kiln_proto::Error> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn after_a_failed_commit_the_journal_stays_broken() {
    let store = Arc::new(Failing::default());
    let journal =
        Journal::open(store.clone(), Options::new(worker(), Epoch(1), OplogIndex(0))).expect("empty");
    store.fails.store(true, Ordering::Relaxed);
    journal.append(no_op());
    let error = journal.commit().await.expect_err("refused");
    assert!(error.shard_error().is_some_and(kiln_proto::Error::is_retryable));
    store.fails.store(false, Ordering::Relaxed);
    journal.append(no_op());
    assert!(matches!(journal.commit().await, Err(Error::Broken)));
}

#[test]
fn a_gap_is_corruption() {
    let opened = Journal::open(
        Arc::new(Failing::default()),
        Options::new(worker(), Epoch(1), OplogIndex(3)),
    );
    assert!(matches!(
        opened.map(|_| ()),
        Err(Error::Corrupt {
            index: OplogIndex(1),
            ..
        })
    ));
}

proptest! {
    /// Replay sees exactly the entries that are neither hints nor skipped, in order.
    #[test]
    fn replay_sees_what_counts(hints in prop::collection::vec(any::<bool>(), 0..40), start in 1u64..40, length in 0u64..10) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let entries = hints.iter().map(|hint| if *hint { log("x") } else { no_op() }).collect();
        let store = runtime.block_on(recorded(entries));
        let region = (start, start + length);
        let expected: Vec<u64> = (1..).zip(&hints)
            .filter(|(index, hint)| !**hint && !(region.0..=region.1).contains(index))
            .map(|(index, _)| index)
            .collect();
        prop_assert_eq!(replay(&open(&store, &[region])), expected);
    }
}
