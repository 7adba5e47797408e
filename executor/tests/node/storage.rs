//! Keys and blobs on a whole node: the same for both places of blobs.

use std::{path::Path, time::Duration};

use kiln_executor::{BlobPlace, Limits};
use kiln_proto::{
    Error,
    v1::{Value, value::Kind},
};

use crate::node::Node;

const EXPECTED: &str = include_str!("../storage-tour.txt");
const PATIENCE: Duration = Duration::from_secs(30);
const SIZE: &str = "3000000";

/// Content goes soon after nobody needs it.
fn hasty() -> Limits {
    let mut limits = Limits::default();
    limits.storage.garbage_delay = Duration::from_millis(100);
    limits.storage.collect_interval = Duration::from_millis(100);
    limits
}

/// Both places, with the folder of the second.
fn places() -> [(BlobPlace, tempfile::TempDir); 2] {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = BlobPlace::Folder(folder.path().to_owned());
    [
        (BlobPlace::Shards, tempfile::tempdir().unwrap()),
        (in_folder, folder),
    ]
}

async fn node(place: &BlobPlace) -> Node {
    let node = Node::start_with_blobs(hasty(), place.clone()).await;
    node.upload("storage").await;
    node
}

async fn call(node: &Node, worker: &str, function: &str, arguments: &[&str]) -> Result<String, Error> {
    let function = format!("api.{{{function}}}");
    node.wave(&format!("storage/{worker}"), &function, arguments)
        .await
}

async fn ok(node: &Node, worker: &str, function: &str, arguments: &[&str]) -> String {
    let result = call(node, worker, function, arguments).await;
    let text = result.unwrap_or_else(|error| panic!("{function}({arguments:?}): {error:?}"));
    assert!(text.starts_with("ok"), "{function}({arguments:?}): {text}");
    text
}

/// Files below a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    reached.unwrap_or_else(|_| panic!("it never came to this: {what}"));
}

fn lines(value: Option<Value>) -> Vec<String> {
    let Some(Kind::List(list)) = value.and_then(|value| value.kind) else {
        panic!("the tour gives a list")
    };
    let text = |value: Value| match value.kind {
        Some(Kind::StringValue(text)) => text,
        other => panic!("{other:?} is no text"),
    };
    list.values.into_iter().map(text).collect()
}

/// The worker is thrown out of memory again and again while it is under way, so that it replays from wherever it has come.
#[tokio::test(flavor = "multi_thread")]
async fn the_tour_is_the_same_in_both_places_and_through_crashes() {
    for (place, folder) in places() {
        let node = node(&place).await;
        for (worker, crashes) in [("quiet", false), ("crashing", true)] {
            let argument = format!("\"{worker}\"");
            let name = format!("storage/{worker}");
            let arguments = [argument.as_str()];
            let tour = node.call(&name, "api.{tour}", &arguments, "the-key");
            let crashing = async {
                if !crashes {
                    return std::future::pending::<()>().await;
                }
                let mut pause = Duration::from_millis(1);
                loop {
                    tokio::time::sleep(pause).await;
                    // Refused while the worker does not exist yet.
                    let _ = node.interrupt(&name, true).await;
                    // Each life is longer than the one before, so that the tour ends.
                    pause = pause * 5 / 4;
                }
            };
            let reply = tokio::select! {
                reply = tour => reply.unwrap(),
                () = crashing => unreachable!("it never ends"),
            };
            // The tour uses its name for buckets and containers.
            let expected = EXPECTED.replace("\"t\"", &argument);
            assert_eq!(
                lines(reply.result),
                expected.lines().collect::<Vec<_>>(),
                "{place}"
            );
        }
        if place != BlobPlace::Shards {
            assert!(files(folder.path()) > 0, "the bytes were in the folder");
            let left = || files(folder.path()) == 0;
            for worker in ["storage/quiet", "storage/crashing"] {
                node.delete(worker).await.unwrap();
            }
            until("nothing is left of what was deleted", left).await;
        }
        node.stop().await;
    }
}

/// Contents that the oplog of a worker names stay as long as the worker, also when the node starts anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_value_is_readable_although_its_object_is_gone() {
    for (place, folder) in places() {
        let mut node = node(&place).await;
        ok(&node, "w", "put", &["\"c\"", "\"o\"", SIZE, "1"]).await;
        let whole = ok(&node, "w", "digest", &["\"c\"", "\"o\"", "0", "2999999"]).await;
        ok(&node, "w", "hold", &["\"c\"", "\"o\""]).await;
        ok(&node, "other", "remove", &["\"c\"", "\"o\""]).await;
        // The collector has had some turns.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(ok(&node, "w", "held", &[]).await, whole, "{place}");
        node = node.restart().await;
        assert_eq!(ok(&node, "w", "held", &[]).await, whole, "{place}");
        if place != BlobPlace::Shards {
            assert_eq!(files(folder.path()), 3, "a chunk is a file");
            node.delete("storage/w").await.unwrap();
            let left = || files(folder.path()) == 0;
            until("the content goes with its last reader", left).await;
        }
        node.stop().await;
    }
}

/// The place can be changed at any time: what is there stays readable.
#[tokio::test(flavor = "multi_thread")]
async fn contents_stay_where_they_were_stored() {
    let [(shards, _), (in_folder, folder)] = places();
    let mut node = node(&shards).await;
    let range = |object: &str| {
        [
            "\"c\"".to_owned(),
            format!("\"{object}\""),
            "100".into(),
            "103".into(),
        ]
    };
    let read = async |node: &Node, object: &str| {
        let arguments = range(object);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // A reader of its own each time: what it has read would be in its oplog.
        let worker = uuid::Uuid::new_v4().to_string();
        call(node, &worker, "range", &arguments).await.unwrap()
    };
    ok(&node, "w", "put", &["\"c\"", "\"old\"", SIZE, "1"]).await;
    let expected = read(&node, "old").await;
    assert!(expected.starts_with("ok(["), "{expected}");

    node = node.restart_with_blobs(in_folder).await;
    ok(&node, "w", "put", &["\"c\"", "\"new\"", SIZE, "1"]).await;
    assert_eq!(files(folder.path()), 3, "new contents go to the new place");
    assert_eq!(read(&node, "old").await, expected);
    assert_eq!(read(&node, "new").await, expected);

    node = node.restart_with_blobs(BlobPlace::Shards).await;
    assert_eq!(read(&node, "old").await, expected);
    let error = read(&node, "new").await;
    assert!(
        error.starts_with("err(") && error.contains("object store"),
        "{error}"
    );
}

/// A chunk that does not match its checksum is never given out.
#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_store_is_noticed() {
    let [_, (in_folder, folder)] = places();
    let node = node(&in_folder).await;
    ok(&node, "w", "put", &["\"c\"", "\"o\"", "1000", "1"]).await;
    let content = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let chunk = std::fs::read_dir(content.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let mut bytes = std::fs::read(chunk.path()).unwrap();
    bytes[500] ^= 1;
    std::fs::write(chunk.path(), bytes).unwrap();
    let read = call(&node, "reader", "range", &["\"c\"", "\"o\"", "0", "9"]).await;
    let text = read.unwrap_or_else(|error| error.message);
    assert!(text.contains("checksum"), "{text}");
}
