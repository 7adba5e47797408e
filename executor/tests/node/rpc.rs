use std::time::Duration;

use kiln_proto::v1::WorkerStatus;

use crate::node::Node;

async fn start() -> Node {
    let node = Node::start().await;
    node.upload("rpc").await;
    node
}

/// Waits until a worker's number is the expected one.
async fn until_value(node: &Node, worker: &str, expected: &str) {
    let reached = async {
        while node.wave(worker, "value", &[]).await.unwrap() != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached)
        .await
        .unwrap_or_else(|_| panic!("{worker} never had {expected}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_call_each_other_in_every_way() {
    let node = start().await;
    let call = |function: &'static str, arguments: &'static [&'static str]| {
        let node = &node;
        async move { node.wave("rpc/caller", function, arguments).await.unwrap() }
    };
    assert_eq!(call("call-add", &["\"a\"", "5"]).await, "ok(5)");
    assert_eq!(call("call-add", &["\"a\"", "5"]).await, "ok(10)");
    assert_eq!(
        call("add-everywhere", &["[\"a\", \"b\", \"c\"]", "1"]).await,
        "[ok(11), ok(1), ok(1)]"
    );
    assert_eq!(
        call("add-along", &["[\"a\", \"b\", \"c\"]", "2"]).await,
        "ok([2, 13, 3, 3])"
    );
    assert_eq!(call("call-ephemeral", &[]).await, "ok");
    let mixed = call("call-mix", &["\"a\""]).await;
    for part in [
        "Shape::Packed(Parcel",
        "content: [1, 2], size: Some(300)",
        "Colour::Green",
        "READ | RUN",
        "(6, None)",
    ] {
        assert!(mixed.contains(part), "{mixed}");
    }
    assert_eq!(call("send-add", &["\"q\"", "4"]).await, "ok");
    call("begin-add", &["\"r\"", "4"]).await;
    until_value(&node, "rpc/q", "4").await;
    until_value(&node, "rpc/r", "4").await;
    assert_eq!(call("count-there", &["\"t\"", "3"]).await, "ok([103, 106])");
    assert_eq!(node.wave("rpc/t", "tallies", &[]).await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_made_by_a_call_takes_after_its_caller() {
    let node = start().await;
    let pair = |key: &str, value: &str| kiln_proto::v1::KeyValue {
        key: key.into(),
        value: value.into(),
    };
    let request = kiln_proto::v1::CreateWorkerRequest {
        worker: Some(crate::node::reference("rpc/parent")),
        env: vec![pair("COLOUR", "red")],
        args: vec!["one".into()],
        ..Default::default()
    };
    node.workers.clone().create_worker(request).await.unwrap();
    node.wave("rpc/parent", "call-add", &["\"child\"", "1"])
        .await
        .unwrap();
    assert_eq!(node.get("rpc/child").await.unwrap().args, ["one"]);
    let env = node.wave("rpc/child", "env", &[]).await.unwrap();
    assert!(
        env.contains("(\"COLOUR\", \"red\")") && env.contains("(\"GOLEM_WORKER_NAME\", \"child\")"),
        "{env}"
    );
    let create = &node.entries("rpc/child").await[0];
    assert_eq!(create["parent"]["worker-name"], "parent", "{create}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_at_the_callee_is_said_to_the_caller() {
    let node = start().await;
    let cases = [
        ("\"a\"", "\"nothing\"", "protocol-error: no function"),
        ("\"a\"", "\"add\"", "protocol-error: expected 1 arguments, got 0"),
        (
            "\"failing\"",
            "\"boom\"",
            "remote-internal-error: Invocation failed",
        ),
        (
            "\"failing\"",
            "\"value\"",
            "remote-internal-error: Previous invocation failed",
        ),
    ];
    for (target, function, expected) in cases {
        let answer = node
            .wave("rpc/caller", "call", &[target, function])
            .await
            .unwrap();
        assert!(answer.contains(expected), "{answer}");
    }
    let error = node
        .wave("rpc/self", "call-add", &["\"self\"", "1"])
        .await
        .unwrap_err();
    assert!(
        error
            .message
            .contains("RPC calls to the same agent are not supported"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_made_once_through_crashes_and_restarts() {
    let node = start().await;
    let request = crate::node::invocation("rpc/caller", "call-slow-add", &["\"a\"", "1500", "5"], "k");
    let calling = node.invoke(request.clone());
    let crashing = async {
        for worker in ["caller", "a", "caller", "a", "caller"] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // The callee is there once the caller has got that far.
            let _ = node.interrupt(&format!("rpc/{worker}"), true).await;
        }
    };
    let (answer, ()) = tokio::join!(calling, crashing);
    let wave = |answer: kiln_proto::v1::InvokeResponse| kiln_proto::convert::to_wave(&answer.result.unwrap());
    assert_eq!(wave(answer.unwrap()), "ok(5)");

    let mut request = request;
    request.idempotency_key = "k2".into();
    request.no_wait = true;
    node.invoke(request.clone()).await.unwrap();
    node.until("rpc/a", WorkerStatus::Running).await;
    let node = node.restart().await;
    request.no_wait = false;
    assert_eq!(wave(node.invoke(request).await.unwrap()), "ok(10)");
    assert_eq!(node.wave("rpc/a", "value", &[]).await.unwrap(), "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_calls_are_made_after_a_downtime_and_cancelled_ones_never() {
    let node = start().await;
    for (function, target) in [
        ("schedule-and-cancel", "\"never\""),
        ("schedule-add", "\"later\""),
        ("schedule-add", "\"scheduler\""),
    ] {
        node.wave("rpc/scheduler", function, &[target, "700", "3"])
            .await
            .unwrap();
    }
    let node = node.restart().await;
    until_value(&node, "rpc/later", "3").await;
    until_value(&node, "rpc/scheduler", "3").await;
    assert_eq!(node.wave("rpc/never", "value", &[]).await.unwrap(), "0");
}
