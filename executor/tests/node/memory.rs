use futures::StreamExt;
use kiln_executor::Limits;

use crate::node::Node;

const MIB: u64 = 1 << 20;

/// Runs `keep` on many workers, as many at a time as callers come.
async fn keep(node: &Node, workers: u32, bytes: &str, expected: &str) {
    let calls = futures::stream::iter(0..workers).map(|number| {
        let worker = format!("hostile/w{number}");
        async move { node.wave(&worker, "api.{keep}", &[bytes]).await }
    });
    let results: Vec<_> = calls.buffer_unordered(64).collect().await;
    for result in results {
        assert_eq!(result.unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_workers_of_a_mebibyte_get_their_turn_in_200() {
    let node = Node::start_with(Limits {
        memory_bytes_max: 200 * MIB,
        ..Limits::default()
    })
    .await;
    node.upload("hostile").await;
    keep(&node, 1000, "1048576", "1048576").await;
    // Most of them were unloaded meanwhile, and come back as they were.
    keep(&node, 1000, "0", "1048576").await;
    let info = node.get("hostile/w0").await.unwrap();
    assert!(
        info.total_linear_memory_size >= 2 * MIB,
        "{}",
        info.total_linear_memory_size
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_grow_at_the_same_time_wait_for_one_another() {
    let node = Node::start_with(Limits {
        memory_bytes_max: 48 * MIB,
        ..Limits::default()
    })
    .await;
    node.upload("hostile").await;
    // Each alone fits; no two do.
    keep(&node, 6, "10000000", "10000000").await;
    keep(&node, 6, "15000000", "25000000").await;
    let refused = node
        .wave("hostile/w0", "api.{keep}", &["60000000"])
        .await
        .unwrap_err();
    assert!(refused.message.contains("out of memory"), "{}", refused.message);
}
