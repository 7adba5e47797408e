//! Typed calls through client stubs: a guest whose imports are generated from another component's exports.

use std::time::Duration;

use kiln_proto::{ErrorCode, v1};

use crate::node::{Node, guest_bytes};

/// The guest calls workers of its own component, which is not called like the package of the stub.
async fn start() -> Node {
    let node = Node::start().await;
    upload(&node, "stubs").await.unwrap();
    node
}

async fn upload(node: &Node, target: &str) -> Result<v1::ComponentVersion, kiln_proto::Error> {
    let header = v1::UploadHeader {
        name: "shopping".into(),
        clients: vec![v1::KeyValue {
            key: "test:stubs-client/stubs-client".into(),
            value: target.into(),
        }],
        ..v1::UploadHeader::default()
    };
    // The one that is called; it has the same code.
    if node
        .components
        .clone()
        .get_component(v1::GetComponentRequest {
            component: "stubs".into(),
            version: None,
        })
        .await
        .is_err()
    {
        node.upload("stubs").await;
    }
    node.upload_as(header, &guest_bytes("stubs")).await
}

async fn drive(node: &Node, function: &str, arguments: &[&str]) -> String {
    let function = format!("test:stubs/driver.{{{function}}}");
    node.wave("shopping/driver", &function, arguments)
        .await
        .unwrap_or_else(|error| panic!("{function}: {error}"))
}

async fn until_notes(node: &Node, worker: &str, expected: &str) {
    let reached = async {
        while node.wave(worker, "notes", &[]).await.unwrap() != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached)
        .await
        .unwrap_or_else(|_| panic!("{worker} never had {expected}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_a_call_reaches_the_worker_behind_the_stub() {
    let node = start().await;
    let item = "{name: \"tea\", count: 3}";
    assert_eq!(drive(&node, "put", &["\"a\"", item]).await, "1");
    assert_eq!(
        drive(&node, "put-by-id", &["\"stubs\"", "\"a\"", item]).await,
        "2"
    );
    assert_eq!(
        drive(&node, "look", &["\"a\""]).await,
        "filled([{name: \"tea\", count: 3}, {name: \"tea\", count: 3}])"
    );
    assert_eq!(drive(&node, "look", &["\"b\""]).await, "empty");
    drive(&node, "note", &["\"a\"", "\"queued\""]).await;
    until_notes(&node, "stubs/a", "[\"queued\"]").await;
    drive(&node, "note-later", &["\"a\"", "100", "\"later\"", "false"]).await;
    drive(&node, "note-later", &["\"a\"", "100", "\"never\"", "true"]).await;
    until_notes(&node, "stubs/a", "[\"queued\", \"later\"]").await;
    assert_eq!(
        drive(&node, "echo", &["[\"a\", \"b\", \"c\"]", "50", "\"hi\""]).await,
        "[\"hi\", \"hi\", \"hi\"]"
    );
    // Resources live at the worker as long as the guest holds their stub.
    assert_eq!(drive(&node, "sell", &["\"t\"", "100", "5"]).await, "[105, 110]");
    assert_eq!(drive(&node, "ring", &["\"t\""]).await, "1");
    until_empty(&node, "stubs/t").await;
    assert_eq!(
        node.wave("stubs/a", "notes", &[]).await.unwrap(),
        "[\"queued\", \"later\"]"
    );

    // Everything was recorded: another life of the driver calls nobody again.
    let node = node.restart().await;
    assert_eq!(drive(&node, "put", &["\"a\"", item]).await, "3");
    assert_eq!(
        node.wave("stubs/a", "notes", &[]).await.unwrap(),
        "[\"queued\", \"later\"]"
    );
    assert_eq!(node.wave("stubs/t", "living", &[]).await.unwrap(), "0");
}

/// No tills and bells live in the worker any more: those that a guest lets go of go as well, a moment later.
async fn until_empty(node: &Node, worker: &str) {
    let gone = async {
        while node.wave(worker, "living", &[]).await.unwrap() != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("what was dropped is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_of_a_worker_are_passed_on_to_its_functions() {
    let node = start().await;
    let traded = "[321, 21, 0, 300, 0, 21]";
    assert_eq!(drive(&node, "trade", &["\"t\""]).await, traded);
    until_empty(&node, "stubs/t").await;

    // Another life of both, with the same handles.
    let node = node.restart().await;
    assert_eq!(drive(&node, "trade", &["\"t\""]).await, traded);
    until_empty(&node, "stubs/t").await;

    let mistaken = node
        .wave(
            "shopping/mistaken",
            "test:stubs/driver.{mix-up}",
            &["\"a\"", "\"b\""],
        )
        .await
        .unwrap_err();
    assert!(
        mistaken
            .message
            .contains("cannot resolve handle belonging to a different worker"),
        "{mistaken}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_made_once_through_crashes_of_both_ends() {
    let node = start().await;
    let function = "test:stubs/driver.{echo}";
    let request = crate::node::invocation(
        "shopping/driver",
        function,
        &["[\"a\", \"b\"]", "1000", "\"hi\""],
        "k",
    );
    let calling = node.invoke(request);
    let crashing = async {
        for worker in ["shopping/driver", "stubs/a", "shopping/driver", "stubs/b"] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // The callee is there once the caller has got that far.
            let _ = node.interrupt(worker, true).await;
        }
    };
    let (answer, ()) = tokio::join!(calling, crashing);
    let answer = answer.unwrap().result.unwrap();
    assert_eq!(kiln_proto::convert::to_wave(&answer), "[\"hi\", \"hi\"]");
    for worker in ["stubs/a", "stubs/b"] {
        let runs = node
            .search(worker, "exported-function NOT pending", 100)
            .await
            .unwrap();
        let entries = node.entries(worker).await;
        let invoked = entries
            .iter()
            .filter(|entry| entry["type"] == "exported-function-invoked");
        assert_eq!(invoked.count(), 1, "{worker}: {runs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_in_words() {
    let node = start().await;
    let boom = node
        .wave("shopping/d", "test:stubs/driver.{boom}", &["\"bad\""])
        .await
        .unwrap_err();
    assert!(
        boom.message.contains("the call failed: remote-internal-error"),
        "{boom}"
    );

    // A component that is not what the stub was made from.
    node.upload("counter").await;
    let header = v1::UploadHeader {
        name: "mistaken".into(),
        clients: vec![v1::KeyValue {
            key: "test:stubs-client/stubs-client".into(),
            value: "counter".into(),
        }],
        ..v1::UploadHeader::default()
    };
    let error = node.upload_as(header, &guest_bytes("stubs")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(
        error.message.contains("test:stubs-client/stubs-client@0.1.0")
            && error.message.contains("shop.{put}"),
        "{error}"
    );
    let header = v1::UploadHeader {
        name: "lost".into(),
        clients: vec![v1::KeyValue {
            key: "test:stubs-client/stubs-client".into(),
            value: "nowhere".into(),
        }],
        ..v1::UploadHeader::default()
    };
    let error = node.upload_as(header, &guest_bytes("stubs")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound, "{error}");
}
