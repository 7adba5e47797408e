//! Keys and blobs of one shard: each write once, exact counts, contents that go when nobody needs them.

mod support;

use anyhow::Result;
use bytes::Bytes;
use kiln_proto::v1::{
    AnnounceContent, BlobGarbage, ChangeBlobs, CombineKey, CompareAndSwap, CopyObject, DeadContainer,
    DeleteObjects, DropChunks, DropPins, KeyChange, KeyUsage, PinObject, PutChunk, PutObject, StorageReply,
    StorageWriter, WriteKeys, change_blobs::Change, combine_key::Combination, shard_operation::Operation,
    storage_reply::Refusal,
};
use kiln_store::Shard;
use support::{eventually, options, single};

const APP: &str = "default";

fn writer(name: &str, position: u64) -> Option<StorageWriter> {
    Some(StorageWriter {
        writer: Bytes::copy_from_slice(name.as_bytes()),
        incarnation: 7,
        position,
        ..StorageWriter::default()
    })
}

fn set(key: &str, value: Option<&str>) -> KeyChange {
    KeyChange {
        key: key.to_owned(),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        expires_at_ns: 0,
    }
}

async fn write(
    shard: &Shard,
    writer: Option<StorageWriter>,
    at_ns: u64,
    changes: Vec<KeyChange>,
) -> Result<StorageReply> {
    write_within(shard, writer, at_ns, changes, None).await
}

async fn write_within(
    shard: &Shard,
    writer: Option<StorageWriter>,
    at_ns: u64,
    changes: Vec<KeyChange>,
    room: Option<KeyUsage>,
) -> Result<StorageReply> {
    let write = WriteKeys {
        writer,
        application: APP.into(),
        bucket: "b".into(),
        at_ns,
        changes,
        room,
    };
    Ok(shard.write_storage(Operation::WriteKeys(write)).await?)
}

async fn combine(
    shard: &Shard,
    writer: Option<StorageWriter>,
    key: &str,
    combination: Combination,
) -> Result<StorageReply> {
    let combine = CombineKey {
        writer,
        application: APP.into(),
        bucket: "b".into(),
        at_ns: 1,
        key: key.into(),
        combination: Some(combination),
        room: None,
    };
    Ok(shard.write_storage(Operation::CombineKey(combine)).await?)
}

fn value(shard: &Shard, key: &str, now_ns: u64) -> Result<Option<String>> {
    let value = shard.key(APP, "b", key, now_ns)?;
    Ok(value.map(|value| String::from_utf8(value.to_vec())).transpose()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_write_changes_nothing_and_gets_the_first_reply() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let shard = &node.shard;
    for _ in 0..3 {
        let sum = combine(shard, writer("w", 5), "n", Combination::Increment(4)).await?;
        assert_eq!(sum.number, 4, "applied once");
    }
    assert_eq!(
        combine(shard, writer("w", 9), "n", Combination::Increment(1))
            .await?
            .number,
        5
    );
    // An owner that was replaced sends its write late: nothing may change any more.
    let late = write(shard, writer("w", 5), 1, vec![set("n", None)]).await?;
    assert_eq!(late.refusal(), Refusal::Superseded);
    assert_eq!(value(shard, "n", 1)?.as_deref(), Some("5"));

    // Another worker, and a later one of the same name, are other writers.
    combine(shard, writer("v", 1), "n", Combination::Increment(1)).await?;
    let mut reborn = writer("w", 1);
    reborn.iter_mut().for_each(|writer| writer.incarnation = 8);
    combine(shard, reborn.clone(), "n", Combination::Increment(1)).await?;
    assert_eq!(value(shard, "n", 1)?.as_deref(), Some("7"));

    // Nor does a restart forget who has written what.
    node.stop().await;
    let node = support::Node::start(options(folder.path())).await?;
    eventually("the node leads again", || node.leads().then_some(())).await?;
    node.shard.barrier().await?;
    combine(&node.shard, reborn, "n", Combination::Increment(1)).await?;
    assert_eq!(value(&node.shard, "n", 1)?.as_deref(), Some("7"));
    assert_eq!(node.shard.writers(&[], 10)?.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_swap_and_refuse() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let shard = &node.shard;
    let swap = |old, new| Combination::CompareAndSwap(CompareAndSwap { old, new });
    assert!(!combine(shard, None, "n", swap(0, 1)).await?.swapped, "missing");
    combine(shard, None, "n", Combination::Increment(2)).await?;
    assert!(!combine(shard, None, "n", swap(3, 9)).await?.swapped);
    assert!(combine(shard, None, "n", swap(2, u64::MAX)).await?.swapped);
    let reply = combine(shard, None, "n", Combination::Increment(1)).await?;
    assert_eq!(reply.refusal(), Refusal::Overflow);
    write(shard, None, 1, vec![set("n", Some("five"))]).await?;
    let reply = combine(shard, None, "n", Combination::Increment(1)).await?;
    assert_eq!(reply.refusal(), Refusal::NotANumber);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_listed_counted_and_expire() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let shard = &node.shard;
    let changes = ["c", "a", "b", "ab"].map(|key| set(key, Some("12"))).to_vec();
    write(shard, None, 1, changes).await?;
    let keys = |after| shard.keys(APP, "b", after, 2, 1);
    assert_eq!(keys(None)?, ["a", "ab"]);
    assert_eq!(keys(Some("ab"))?, ["b", "c"]);
    assert!(shard.keys(APP, "other", None, 9, 1)?.is_empty());
    assert_eq!(shard.buckets(APP, None, 9)?, ["b"]);
    assert!(shard.buckets(APP, Some("b"), 9)?.is_empty());
    let used = || -> Result<(u64, u64)> {
        let usages = shard.key_usages()?;
        Ok(usages
            .first()
            .map_or((0, 0), |(_, usage)| (usage.keys, usage.bytes)))
    };
    assert_eq!(used()?, (4, 5 + 8));

    let mut expiring = set("c", Some("x"));
    expiring.expires_at_ns = 100;
    write(shard, None, 2, vec![expiring, set("a", None), set("ab", None)]).await?;
    assert_eq!(value(shard, "c", 99)?.as_deref(), Some("x"));
    assert_eq!(value(shard, "c", 100)?, None);
    // The next write removes what has expired, and counts it no longer.
    write(shard, None, 200, vec![set("b", None)]).await?;
    assert_eq!(used()?, (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_adds_no_more_than_there_is_room_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let shard = &node.shard;
    write(
        shard,
        writer("w", 1),
        1,
        vec![set("a", Some("1")), set("b", Some("2"))],
    )
    .await?;
    let room = |keys, bytes| Some(KeyUsage { keys, bytes });
    let cases = [
        (
            "nothing to add",
            vec![set("a", Some("3"))],
            room(0, 0),
            Refusal::None,
        ),
        (
            "a longer value",
            vec![set("a", Some("44"))],
            room(9, 0),
            Refusal::KeyQuota,
        ),
        (
            "another key",
            vec![set("c", Some("1"))],
            room(0, 99),
            Refusal::KeyQuota,
        ),
        (
            "one for another",
            vec![set("a", None), set("c", Some("1"))],
            room(0, 0),
            Refusal::None,
        ),
        (
            "the same twice",
            vec![set("d", Some("1")), set("d", Some("2"))],
            room(1, 2),
            Refusal::None,
        ),
        ("no quota", vec![set("e", Some("1"))], None, Refusal::None),
    ];
    for (position, (what, changes, room, expected)) in (2..).zip(cases) {
        let reply = write_within(shard, writer("w", position), 1, changes, room).await?;
        assert_eq!(reply.refusal(), expected, "{what}");
    }
    assert_eq!(value(shard, "a", 1)?, None);
    assert_eq!(
        value(shard, "c", 1)?.as_deref(),
        Some("1"),
        "it took the place of a"
    );
    Ok(())
}

async fn change(
    shard: &Shard,
    writer: Option<StorageWriter>,
    at_ns: u64,
    change: Change,
) -> Result<StorageReply> {
    let change = ChangeBlobs {
        writer,
        application: APP.into(),
        at_ns,
        garbage_due_ns: at_ns + 10,
        objects_max: 3,
        bytes_max: 100,
        change: Some(change),
    };
    Ok(shard.write_storage(Operation::ChangeBlobs(change)).await?)
}

fn content(id: u8) -> Bytes {
    Bytes::from(vec![id; 16])
}

/// Uploads a content and gives it a name.
async fn put(shard: &Shard, at_ns: u64, object: &str, id: u8, size: u64) -> Result<StorageReply> {
    let announced = AnnounceContent {
        content_id: content(id),
        size,
    };
    change(shard, None, at_ns, Change::AnnounceContent(announced)).await?;
    let chunk = PutChunk {
        content_id: content(id),
        chunk: 0,
        data: vec![id; usize::try_from(size)?].into(),
    };
    shard.write_storage(Operation::PutChunk(chunk)).await?;
    let put = PutObject {
        container: "c".into(),
        object: object.into(),
        content_id: content(id),
        size,
    };
    change(shard, None, at_ns, Change::PutObject(put)).await
}

/// (containers, objects, bytes)
fn used(shard: &Shard) -> Result<(u64, u64, u64)> {
    let usages = shard.blob_usages()?;
    Ok(usages.first().map_or((0, 0, 0), |(_, usage)| {
        (usage.containers, usage.objects, usage.bytes)
    }))
}

fn names(shard: &Shard) -> Result<Vec<String>> {
    let container = shard.container(APP, "c")?.expect("the container is there");
    let objects = shard.objects(&container, None, 10)?;
    Ok(objects.into_iter().map(|object| object.name).collect())
}

/// What the collector does with each content that is due.
async fn collect(shard: &Shard, now_ns: u64) -> Result<usize> {
    let due = shard.due_garbage(now_ns, 10)?;
    for garbage in &due {
        let this = || BlobGarbage {
            content_id: garbage.content_id.clone(),
            due_ns: garbage.due_ns,
        };
        let first = change(shard, None, now_ns, Change::DropGarbage(this())).await?;
        if first.refusal() != Refusal::None {
            change(shard, None, now_ns, Change::PostponeGarbage(this())).await?;
            continue;
        }
        let chunks = DropChunks {
            content_id: garbage.content_id.clone(),
            from: 0,
            to: 1,
        };
        shard.write_storage(Operation::DropChunks(chunks)).await?;
        change(shard, None, now_ns, Change::DropGarbage(this())).await?;
    }
    Ok(due.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_share_contents_and_quotas_hold() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let shard = &node.shard;
    assert_eq!(put(shard, 1, "a", 1, 10).await?.refusal(), Refusal::NoContainer);
    change(shard, None, 1, Change::CreateContainer("c".into())).await?;
    assert_eq!(put(shard, 2, "a", 1, 10).await?.refusal(), Refusal::None);
    assert_eq!(
        put(shard, 3, "b", 2, 95).await?.refusal(),
        Refusal::Quota,
        "bytes"
    );
    let copy = |from: &str, to: &str, is_move| {
        Change::CopyObject(CopyObject {
            container: "c".into(),
            object: from.into(),
            to_container: "c".into(),
            to_object: to.into(),
            is_move,
        })
    };
    change(shard, None, 4, copy("a", "a2", false)).await?;
    change(shard, None, 4, copy("a", "a3", false)).await?;
    let reply = change(shard, None, 4, copy("a", "a4", false)).await?;
    assert_eq!(reply.refusal(), Refusal::Quota, "number");
    // A move needs no room, and nothing is lost by one onto itself.
    let reply = change(shard, None, 5, copy("a3", "a4", true)).await?;
    assert_eq!(reply.refusal(), Refusal::None);
    change(shard, None, 5, copy("a4", "a4", true)).await?;
    assert_eq!(names(shard)?, ["a", "a2", "a4"]);
    assert_eq!(used(shard)?, (1, 3, 30));
    let reply = change(shard, None, 5, copy("zz", "y", true)).await?;
    assert_eq!(reply.refusal(), Refusal::NoObject);

    // The content stays as long as one of its names does.
    let delete = DeleteObjects {
        container: "c".into(),
        objects: vec!["a".into(), "a2".into(), "missing".into()],
    };
    assert_eq!(
        change(shard, None, 6, Change::DeleteObjects(delete))
            .await?
            .number,
        2
    );
    assert_eq!(
        collect(shard, 1000).await?,
        1,
        "only the one that was refused a name"
    );
    assert_eq!(shard.chunk(&content(1), 0)?.len(), 10);
    assert!(shard.chunk(&content(2), 0).is_err(), "its chunks are gone");
    assert_eq!(used(shard)?, (1, 1, 10));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_go_when_nobody_reads_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = single(folder.path()).await?;
    let shard = &node.shard;
    change(shard, None, 1, Change::CreateContainer("c".into())).await?;
    put(shard, 2, "a", 1, 10).await?;
    let pin = Change::PinObject(PinObject {
        container: "c".into(),
        object: "a".into(),
        reader: "urn:worker:w".into(),
    });
    let pinned = change(shard, None, 3, pin).await?;
    assert_eq!(pinned.object.map(|object| object.content_id), Some(content(1)));
    // Replaced, and yet readable for the worker whose oplog names it.
    put(shard, 4, "a", 2, 20).await?;
    assert_eq!(shard.due_garbage(1000, 10)?[0].readers, ["urn:worker:w"]);
    collect(shard, 1000).await?;
    assert_eq!(shard.chunk(&content(1), 0)?.len(), 10);
    assert_eq!(collect(shard, 1005).await?, 0, "it was put off");
    let pins = DropPins {
        content_id: content(1),
        readers: vec!["urn:worker:w".into()],
    };
    change(shard, None, 1006, Change::DropPins(pins)).await?;
    assert_eq!(collect(shard, 2000).await?, 1);
    assert!(shard.chunk(&content(1), 0).is_err());
    assert!(shard.due_garbage(u64::MAX, 10)?.is_empty());

    // Whoever is too late with a name learns that the content is gone.
    let announced = AnnounceContent {
        content_id: content(3),
        size: 1,
    };
    change(shard, None, 3000, Change::AnnounceContent(announced)).await?;
    assert_eq!(collect(shard, 4000).await?, 1);
    let late = PutObject {
        container: "c".into(),
        object: "late".into(),
        content_id: content(3),
        size: 1,
    };
    let reply = change(shard, writer("w", 1), 4001, Change::PutObject(late)).await?;
    assert_eq!(reply.refusal(), Refusal::NoContent);

    // A container is empty at once, whatever was in it, and swept later.
    put(shard, 5000, "b", 4, 5).await?;
    change(shard, None, 5001, Change::ClearContainer("c".into())).await?;
    assert!(names(shard)?.is_empty());
    assert_eq!(used(shard)?, (1, 0, 0));
    change(shard, None, 5002, Change::DeleteContainer("c".into())).await?;
    assert_eq!(used(shard)?, (0, 0, 0));
    let dead = shard.dead_containers(10)?;
    assert_eq!(dead.len(), 1, "an empty container leaves nothing to sweep");
    for expected in [1, 1, 0] {
        let step = DeadContainer {
            number: dead[0].0,
            limit: 1,
        };
        let swept = change(shard, None, 5003, Change::SweepContainer(step)).await?;
        assert_eq!(swept.number, expected);
    }
    assert!(shard.dead_containers(10)?.is_empty());
    assert_eq!(collect(shard, 6000).await?, 2);
    Ok(())
}
