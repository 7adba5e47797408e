//! What a guest learns of itself and others through `golem:api/host`, live and after a restart.

use kiln_proto::ErrorCode;

use crate::node::Node;

async fn node() -> Node {
    let node = Node::start().await;
    node.upload("durable").await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_knows_itself_and_others() {
    let node = node().await;
    let me = node.wave("durable/me", "whoami", &[]).await.unwrap();
    assert_eq!(me, "\"me WorkerStatus::Running 0 4\"");
    assert_eq!(
        node.wave("durable/me", "status-of", &["\"nobody\""])
            .await
            .unwrap(),
        "none"
    );
    node.wave("durable/other", "count", &[]).await.unwrap();
    assert_eq!(
        node.wave("durable/me", "status-of", &["\"other\""])
            .await
            .unwrap(),
        "some(\"WorkerStatus::Idle\")"
    );
    for (component, name, strict, expected) in [
        ("durable", "other", "true", "some(\"other\")"),
        ("durable", "nobody", "false", "some(\"nobody\")"),
        ("durable", "nobody", "true", "none"),
        ("no-such-component", "other", "false", "none"),
    ] {
        let (component, name) = (format!("{component:?}"), format!("{name:?}"));
        let found = node
            .wave("durable/me", "find", &[&component, &name, strict])
            .await;
        assert_eq!(found.unwrap(), expected, "{component} {name} {strict}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_lists_the_workers_of_its_component_and_itself() {
    let node = node().await;
    for at in 0..120 {
        node.wave(&format!("durable/w{at:03}"), "count", &[])
            .await
            .unwrap();
    }
    let names = |text: String| -> Vec<String> {
        let text = text.trim_matches(['[', ']']).to_owned();
        text.split(", ")
            .map(|name| name.trim_matches('"').to_owned())
            .collect()
    };
    let all = names(
        node.wave("durable/lister", "list-workers", &["false", "true"])
            .await
            .unwrap(),
    );
    assert_eq!(all.len(), 121);
    assert!(all.contains(&"lister".to_owned()), "it finds itself");
    let idle = names(
        node.wave("durable/lister", "list-workers", &["true", "true"])
            .await
            .unwrap(),
    );
    assert_eq!(idle.len(), 120, "it runs itself");
    let cached = names(
        node.wave("durable/lister", "list-workers", &["false", "false"])
            .await
            .unwrap(),
    );
    assert_eq!(cached.len(), 121);
    // The pages are recorded: later workers do not make the replay diverge.
    node.wave("durable/late", "count", &[]).await.unwrap();
    let node = node.restart().await;
    assert_eq!(node.wave("durable/lister", "count", &[]).await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_chooses_how_often_it_is_retried() {
    let node = node().await;
    let error = node
        .wave("durable/f", "fail", &["5", "\"no luck\""])
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::WorkerFailed);
    assert!(error.message.starts_with("Invocation failed"), "{error}");
    let errors = node
        .kinds("durable/f")
        .await
        .iter()
        .filter(|kind| *kind == "error")
        .count();
    assert_eq!(errors, 5);
    let later = node.wave("durable/f", "count", &[]).await.unwrap_err();
    assert!(later.message.starts_with("Previous invocation failed"), "{later}");
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_in_the_oplog_is_seen_by_nobody() {
    let node = node().await;
    for at in 0..12 {
        let worker = format!("durable/even{at}");
        let number: u64 = node
            .wave(&worker, "until-even", &[])
            .await
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(number % 2, 0);
        node.interrupt(&worker, true).await.unwrap();
        assert_eq!(node.wave(&worker, "count", &[]).await.unwrap(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_invocation_follow_from_its_own_key() {
    let node = node().await;
    let keys = |worker: &'static str, key: &'static str| {
        let node = &node;
        async move {
            let reply = node.call(worker, "keys", &[], key).await.unwrap();
            kiln_proto::convert::to_wave(&reply.result.unwrap())
        }
    };
    let first = keys("durable/k1", "same").await;
    assert_eq!(keys("durable/k2", "same").await, first);
    assert_ne!(keys("durable/k3", "other").await, first);
}
