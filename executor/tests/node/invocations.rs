use kiln_proto::ErrorCode;

use crate::node::{Node, invocation};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_counts_and_commits_once_a_call() {
    let node = Node::start().await;
    node.upload("counter").await;
    assert_eq!(
        node.wave("counter/c1", "test:counter/api.{increment}", &["5"])
            .await
            .unwrap(),
        "5"
    );
    let before = node.store.stats().operations;
    assert_eq!(
        node.wave("counter/c1", "api.{increment}", &["5"]).await.unwrap(),
        "10"
    );
    assert_eq!(node.store.stats().operations - before, 1);
    let expected = [
        "create",
        "pending-worker-invocation",
        "exported-function-invoked",
        "exported-function-completed",
        "pending-worker-invocation",
        "exported-function-invoked",
        "exported-function-completed",
    ];
    assert_eq!(node.kinds("counter/c1").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_gives_one_execution_also_after_a_restart() {
    let node = Node::start().await;
    node.upload("counter").await;
    let first = node
        .call("counter/c", "increment-by-wrong-name", &[], "k0")
        .await
        .unwrap_err();
    assert_eq!(first.code, ErrorCode::NotFound);
    let first = node
        .call("counter/c", "api.{increment}", &["7"], "k1")
        .await
        .unwrap();
    assert!(!first.replayed);
    let again = node
        .call("counter/c", "api.{increment}", &["7"], "k1")
        .await
        .unwrap();
    assert!(again.replayed);
    assert_eq!(again.result, first.result);

    let node = node.restart().await;
    let again = node
        .call("counter/c", "api.{increment}", &["7"], "k1")
        .await
        .unwrap();
    assert!(again.replayed);
    assert_eq!(node.wave("counter/c", "api.{get}", &[]).await.unwrap(), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_same_time_with_one_key_share_one_run() {
    let node = Node::start().await;
    node.upload("counter").await;
    let calls = (0..20).map(|_| node.call("counter/c", "api.{increment}", &["1"], "same"));
    let replies = futures::future::join_all(calls).await;
    let first = replies
        .iter()
        .filter(|reply| !reply.as_ref().unwrap().replayed)
        .count();
    assert_eq!(first, 1);
    assert_eq!(node.wave("counter/c", "api.{get}", &[]).await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_of_many_workers_lose_nothing() {
    let node = Node::start().await;
    node.upload("counter").await;
    let calls = (0..400).map(|number| {
        let (node, worker) = (&node, format!("counter/w{}", number % 8));
        async move { node.wave(&worker, "api.{increment}", &["1"]).await.unwrap() }
    });
    futures::future::join_all(calls).await;
    for worker in 0..8 {
        assert_eq!(
            node.wave(&format!("counter/w{worker}"), "api.{get}", &[])
                .await
                .unwrap(),
            "50"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_call_is_durable_before_it_is_acknowledged() {
    let node = Node::start().await;
    node.upload("effects").await;
    let mut request = invocation("effects/e", "api.{observe}", &[], "q1");
    request.no_wait = true;
    let reply = node.invoke(request).await.unwrap();
    assert_eq!(reply.idempotency_key, "q1");
    let node = node.restart().await;
    let done = node.call("effects/e", "api.{observe}", &[], "q1").await.unwrap();
    assert_eq!(kiln_proto::convert::to_wave(&done.result.unwrap()), "1");
    assert_eq!(node.wave("effects/e", "api.{observe}", &[]).await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_leave_no_trace() {
    let node = Node::start().await;
    node.upload("counter").await;
    let cases = [
        ("nobody/c", "api.{get}", vec![], ErrorCode::NotFound),
        ("counter/c", "api.{got}", vec![], ErrorCode::NotFound),
        ("counter/c", "api.{increment}", vec![], ErrorCode::Invalid),
        (
            "counter/c",
            "api.{increment}",
            vec!["\"five\""],
            ErrorCode::Invalid,
        ),
        ("counter/a\u{7}", "api.{get}", vec![], ErrorCode::Invalid),
    ];
    for (worker, function, arguments, code) in cases {
        let error = node.wave(worker, function, &arguments).await.unwrap_err();
        assert_eq!(error.code, code, "{worker} {function}: {error}");
    }
    assert_eq!(node.get("counter/c").await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(
        node.upload_bytes("text", b"not a component", false)
            .await
            .unwrap_err()
            .code,
        ErrorCode::Invalid
    );
}
