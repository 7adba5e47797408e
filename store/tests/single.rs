//! One node: append, read, fence, restart.

mod support;

use anyhow::Result;
use bytes::Bytes;
use kiln_proto::{
    ids::{Epoch, IdempotencyKey, OplogIndex},
    v1::{StageOplog, WorkerStatus, key_record::State, shard_operation::Operation},
};
use kiln_store::Error;
use support::{create, eventually, invocation, oplog, options, records, single, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oplog_and_what_it_amounts_to_survive_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let (a, b) = (worker("a"), worker("b"));
    let epoch = node.shard.open_epoch().await?;
    assert_eq!(
        node.shard
            .append(epoch, &a, OplogIndex(1), vec![create(&a)])
            .await?,
        OplogIndex(1)
    );
    assert_eq!(
        node.shard
            .append(epoch, &a, OplogIndex(2), invocation("k1"))
            .await?,
        OplogIndex(4)
    );
    node.shard
        .append(epoch, &b, OplogIndex(1), vec![create(&b)])
        .await?;
    node.shard
        .append(epoch, &b, OplogIndex(2), invocation("k2")[..2].to_vec())
        .await?;
    node.shard.barrier().await?;
    let id = node.id();
    node.stop().await;

    let node = support::Node::start(options(folder.path())).await?;
    assert_eq!(node.id(), id);
    eventually("the node leads again", || node.leads().then_some(())).await?;
    node.shard.barrier().await?;
    assert_eq!(oplog(&node.shard, &a)?.len(), 4);
    let record = node.shard.worker(&a)?.expect("a is there");
    assert_eq!((record.oplog_index, record.status()), (4, WorkerStatus::Idle));
    let key = node
        .shard
        .key_record(&a, &IdempotencyKey::new("k1")?)?
        .expect("k1 is known");
    assert_eq!((key.state(), key.oplog_index), (State::Done, 4));
    assert_eq!(node.shard.unfinished()?, std::slice::from_ref(&b));
    assert_eq!(records(&node.shard)?.len(), 2);
    let counts = node.shard.counts(None)?;
    assert_eq!(
        counts,
        [
            (a.component, WorkerStatus::Running, 1),
            (a.component, WorkerStatus::Idle, 1)
        ]
    );
    // A page in the middle of a chunk.
    let page = node.shard.read_oplog(&a, OplogIndex(3), 1, usize::MAX)?;
    assert_eq!(page.first().map(|(index, _)| *index), Some(OplogIndex(3)));

    // The restarted node leads under a higher term: whoever holds the old epoch is fenced.
    let newer = node.shard.open_epoch().await?;
    assert!(newer > epoch);
    let refused = node
        .shard
        .append(epoch, &a, OplogIndex(5), invocation("k3"))
        .await;
    assert!(
        matches!(refused, Err(Error::Fenced { current }) if current == newer),
        "{refused:?}"
    );
    let refused = node
        .shard
        .append(newer, &a, OplogIndex(9), invocation("k3"))
        .await;
    assert!(
        matches!(refused, Err(Error::IndexMismatch { last: OplogIndex(4) })),
        "{refused:?}"
    );
    node.shard.delete_worker(newer, &a).await?;
    assert!(node.shard.worker(&a)?.is_none());
    assert!(node.shard.read_oplog(&a, OplogIndex(1), 9, 9)?.is_empty());
    assert!(matches!(
        node.shard.delete_worker(newer, &a).await,
        Err(Error::NotFound(_))
    ));
    assert!(matches!(
        node.shard.delete_worker(Epoch(0), &b).await,
        Err(Error::Fenced { .. })
    ));
    node.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_appends_change_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let (a, b) = (worker("a"), worker("b"));
    let epoch = node.shard.open_epoch().await?;
    let cases = [
        ("no entries", vec![]),
        ("no Create first", invocation("k")),
        ("another worker's Create", vec![create(&b)]),
        ("garbage", vec![bytes::Bytes::from_static(&[0xff; 7])]),
        ("a second Create", vec![create(&a), create(&a)]),
    ];
    for (what, entries) in cases {
        let refused = node.shard.append(epoch, &a, OplogIndex(1), entries).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{what}: {refused:?}");
    }
    assert!(node.shard.worker(&a)?.is_none());
    assert_eq!(node.shard.checksum()?.entries, 0);
    node.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_share_syncs() -> Result<()> {
    const WORKERS: u64 = 64;
    const APPENDS: u64 = 10;
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let epoch = node.shard.open_epoch().await?;
    let before = node.store.stats();
    let tasks: Vec<_> = (0..WORKERS)
        .map(|number| {
            let shard = node.shard.clone();
            tokio::spawn(async move {
                let worker = worker(&format!("w{number}"));
                let mut last = shard
                    .append(epoch, &worker, OplogIndex(1), vec![create(&worker)])
                    .await?;
                for call in 0..APPENDS {
                    last = shard
                        .append(epoch, &worker, last.next(), invocation(&format!("k{call}")))
                        .await?;
                }
                Ok::<_, Error>(last)
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await??, OplogIndex(1 + 3 * APPENDS));
    }
    let after = node.store.stats();
    assert_eq!(after.operations - before.operations, WORKERS * (APPENDS + 1));
    assert!(
        after.log_syncs - before.log_syncs < WORKERS * APPENDS / 2,
        "{before:?} {after:?}"
    );
    node.stop().await;
    Ok(())
}

/// What an attempt at a copy lays aside: a page that begins at an index.
async fn stage(
    node: &support::Node,
    epoch: Epoch,
    token: &'static str,
    first_index: u64,
    entries: Vec<Bytes>,
) -> Result<()> {
    let stage = StageOplog {
        epoch: 0,
        token: token.into(),
        first_index,
        entries,
    };
    node.shard.operate(epoch, Operation::StageOplog(stage)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_a_copy_do_not_mix_their_entries() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let epoch = node.shard.open_epoch().await?;
    let copy = worker("copy");
    // The slow attempt saw the source before it went on; the quick one is made later and published first.
    stage(&node, epoch, "slow", 1, vec![create(&copy)]).await?;
    stage(&node, epoch, "quick", 1, vec![create(&copy)]).await?;
    stage(&node, epoch, "quick", 2, invocation("quick")).await?;
    stage(&node, epoch, "slow", 2, invocation("slow")).await?;
    // A page that comes again counts once, and one that leaves a gap is refused.
    stage(&node, epoch, "quick", 2, invocation("quick")).await?;
    let gap = stage(&node, epoch, "slow", 9, invocation("slow")).await;
    assert!(gap.is_err(), "{gap:?}");
    assert!(node.shard.worker(&copy)?.is_none(), "nobody sees what is staged");

    node.shard.publish(epoch, &copy, "quick".into()).await?;
    assert_eq!(oplog(&node.shard, &copy)?.len(), 4);
    let key = |name: &str| IdempotencyKey::new(name);
    assert!(node.shard.key_record(&copy, &key("quick")?)?.is_some());
    assert!(node.shard.key_record(&copy, &key("slow")?)?.is_none());
    let late = node.shard.publish(epoch, &copy, "slow".into()).await;
    assert!(matches!(late, Err(Error::Invalid(_))), "{late:?}");

    // What an attempt has left behind goes with the epoch.
    stage(&node, epoch, "given up", 1, vec![create(&worker("other"))]).await?;
    let newer = node.shard.open_epoch().await?;
    let gone = node
        .shard
        .publish(newer, &worker("other"), "given up".into())
        .await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    node.stop().await;
    Ok(())
}
