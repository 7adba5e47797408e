//! A component that is given the oplogs of another one's workers.

use std::time::Duration;

use kiln_proto::{ErrorCode, v1};

use crate::node::{Node, guest_bytes};

async fn start(processor: &str) -> Node {
    let node = Node::start().await;
    node.upload(processor).await;
    let header = v1::UploadHeader {
        name: "counter".into(),
        processors: vec![processor.into()],
        ..v1::UploadHeader::default()
    };
    node.upload_as(header, &guest_bytes("counter")).await.unwrap();
    node
}

/// The worker of the processor that is given the oplog of a worker.
async fn processor_of(node: &Node, processor: &str, source: &str) -> String {
    let info = node.get(&format!("counter/{source}")).await.unwrap();
    format!(
        "{processor}/{source}@{}@{:x}",
        info.component_id, info.created_at_ns
    )
}

/// Waits until everything up to an index has arrived, and returns the batches: first index, and number of entries.
async fn batches(node: &Node, processor: &str, source: &str, last: u64) -> Vec<(u64, u64)> {
    let processor = processor_of(node, processor, source).await;
    let reached = async {
        loop {
            let seen = node.wave(&processor, "test:processor/api.{seen}", &[]).await;
            let batches = read(&seen.unwrap_or_default(), source);
            if batches.iter().any(|(first, count)| first + count > last) {
                return batches;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached)
        .await
        .unwrap_or_else(|_| panic!("{source}: entry {last} never arrived"))
}

fn read(seen: &str, source: &str) -> Vec<(u64, u64)> {
    let lines = seen.trim_matches(['[', ']']).split("\", \"");
    let lines = lines
        .map(|line| line.trim_matches('"'))
        .filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.split(' ');
            assert_eq!(words.next(), Some(source));
            let first = words.next().unwrap().parse().unwrap();
            (first, words.count() as u64)
        })
        .collect()
}

/// Each entry once, in their order.
fn assert_complete(batches: &[(u64, u64)], last: u64) {
    let mut next = 1;
    for (first, count) in batches {
        assert_eq!(*first, next, "{batches:?}");
        next += count;
    }
    assert_eq!(next, last + 1, "{batches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_come_in_order_and_go_on_after_a_restart() {
    let node = start("processor").await;
    let mut lasts = Vec::new();
    for source in ["a", "b", "c"] {
        for _ in 0..5 {
            node.wave(&format!("counter/{source}"), "increment", &["1"])
                .await
                .unwrap();
        }
        lasts.push((
            source,
            node.get(&format!("counter/{source}")).await.unwrap().oplog_index,
        ));
    }
    for (source, last) in &lasts {
        assert_complete(&batches(&node, "processor", source, *last).await, *last);
    }
    // What the processor has seen is its own state; how far it is, its oplog says.
    let node = node.restart().await;
    for (source, last) in lasts {
        node.wave(&format!("counter/{source}"), "increment", &["1"])
            .await
            .unwrap();
        let now = node.get(&format!("counter/{source}")).await.unwrap().oplog_index;
        assert!(now > last);
        assert_complete(&batches(&node, "processor", source, now).await, now);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_refused_comes_again() {
    let node = start("processor").await;
    node.call("counter/r", "increment", &["1"], "refuse me")
        .await
        .unwrap();
    let last = node.get("counter/r").await.unwrap().oplog_index;
    let batches = batches(&node, "processor", "r", last).await;
    assert_complete(&batches, last);
    // It was called more often than it took something.
    let processor = processor_of(&node, "processor", "r").await;
    let entries = node.entries(&processor).await;
    let calls = entries
        .iter()
        .filter(|entry| entry["type"] == "exported-function-invoked")
        .filter(|entry| {
            entry["function-name"]
                .as_str()
                .is_some_and(|name| name.contains("process}"))
        });
    assert!(calls.count() > batches.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_of_an_older_contract_is_one_resource() {
    for processor in ["processor-old", "processor-older"] {
        let node = start(processor).await;
        for key in ["first", "refuse me", "third"] {
            node.call("counter/s", "increment", &["1"], key).await.unwrap();
        }
        arrived(&node, processor).await;
        // The resource is made again by replay, wherever that is needed.
        let worker = processor_of(&node, processor, "s").await;
        node.interrupt(&worker, true).await.unwrap();
        node.wave("counter/s", "increment", &["1"]).await.unwrap();
        arrived(&node, processor).await;
        let node = node.restart().await;
        node.wave("counter/s", "increment", &["1"]).await.unwrap();
        arrived(&node, processor).await;

        let entries = node.entries(&worker).await;
        let made = entries.iter().filter(|entry| {
            entry["type"] == "exported-function-invoked"
                && entry["function-name"]
                    .as_str()
                    .is_some_and(|name| name.ends_with("{processor.new}"))
        });
        assert_eq!(made.count(), 1, "{entries:?}");
        node.stop().await;
    }
}

/// The whole oplog of the source so far.
async fn arrived(node: &Node, processor: &str) {
    let last = node.get("counter/s").await.unwrap().oplog_index;
    assert_complete(&batches(node, processor, "s", last).await, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_processor_can_be_one() {
    let node = Node::start().await;
    node.upload("values").await;
    for (processor, code) in [("values", ErrorCode::Invalid), ("nobody", ErrorCode::NotFound)] {
        let header = v1::UploadHeader {
            name: "counter".into(),
            processors: vec![processor.into()],
            ..v1::UploadHeader::default()
        };
        let error = node.upload_as(header, &guest_bytes("counter")).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
}
