use std::time::Duration;

use kiln_executor::Limits;
use kiln_proto::{ErrorCode, v1, v1::WorkerStatus};

use crate::node::{Node, guest_bytes, reference};

#[tokio::test(flavor = "multi_thread")]
async fn effects_are_the_same_after_a_restart() {
    let node = Node::start().await;
    node.upload("effects").await;
    for _ in 0..3 {
        node.wave("effects/e", "api.{observe}", &[]).await.unwrap();
    }
    let before = node.wave("effects/e", "api.{observed}", &[]).await.unwrap();
    let node = node.restart().await;
    assert_eq!(
        node.wave("effects/e", "api.{observed}", &[]).await.unwrap(),
        before
    );
    node.interrupt("effects/e", true).await.unwrap();
    assert_eq!(
        node.wave("effects/e", "api.{observed}", &[]).await.unwrap(),
        before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_retried_and_then_fails_the_worker() {
    let node = Node::start().await;
    node.upload("effects").await;
    let first = node
        .wave("effects/t", "api.{trap}", &["\"boom\""])
        .await
        .unwrap_err();
    assert_eq!(first.code, ErrorCode::WorkerFailed);
    assert!(first.message.starts_with("Invocation failed: "), "{first}");
    assert!(
        first.message.contains("boom"),
        "the guest's stderr is told: {first}"
    );
    let later = node.wave("effects/t", "api.{observe}", &[]).await.unwrap_err();
    assert!(
        later.message.starts_with("Previous invocation failed: "),
        "{later}"
    );
    let errors = node
        .kinds("effects/t")
        .await
        .iter()
        .filter(|kind| *kind == "error")
        .count();
    assert_eq!(errors, 3);
    assert_eq!(
        node.get("effects/t").await.unwrap().status(),
        WorkerStatus::Failed
    );
    node.delete("effects/t").await.unwrap();
    assert_eq!(node.wave("effects/t", "api.{observe}", &[]).await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_ends_the_worker() {
    let node = Node::start().await;
    node.upload("effects").await;
    let first = node.wave("effects/x", "api.{exit}", &["3"]).await.unwrap_err();
    assert_eq!(first.message, "Process exited");
    let later = node.wave("effects/x", "api.{observe}", &[]).await.unwrap_err();
    assert_eq!(later.message, "Previous invocation exited");
    assert_eq!(
        node.get("effects/x").await.unwrap().status(),
        WorkerStatus::Exited
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_can_be_interrupted_and_resumed_and_deleted() {
    let node = Node::start().await;
    node.upload("effects").await;
    node.wave("effects/s", "api.{observe}", &[]).await.unwrap();
    let spinning = node.wave("effects/s", "api.{spin}", &[]);
    let interrupting = async {
        node.until("effects/s", WorkerStatus::Running).await;
        node.interrupt("effects/s", false).await.unwrap();
    };
    let (spun, ()) = tokio::join!(spinning, interrupting);
    let error = spun.unwrap_err();
    assert_eq!(error.code, ErrorCode::Interrupted);
    assert_eq!(error.message, "Interrupted via the Golem API");
    assert_eq!(
        node.get("effects/s").await.unwrap().status(),
        WorkerStatus::WorkerInterrupted
    );

    let follow = |from| {
        let mut workers = node.workers.clone();
        let worker = Some(reference("effects/s"));
        async move {
            workers
                .connect_worker(v1::ConnectWorkerRequest { worker, from })
                .await
        }
    };
    let refused = kiln_proto::Error::from(follow(None).await.unwrap_err());
    assert_eq!(
        refused.code,
        ErrorCode::Conflict,
        "nothing comes of it: {refused}"
    );
    follow(Some(1)).await.expect("what was before can be read");

    node.resume("effects/s").await.unwrap();
    node.until("effects/s", WorkerStatus::Running).await;
    follow(None).await.expect("it runs again");
    let waiting = node.wave("effects/s", "api.{observe}", &[]);
    let deleting = async {
        while node.get("effects/s").await.unwrap().pending_invocations == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        node.delete("effects/s").await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, deleting);
    assert_eq!(waited.unwrap_err().message, "Worker is being deleted");
    assert_eq!(node.get("effects/s").await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(node.wave("effects/s", "api.{observe}", &[]).await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_is_explicit_once_and_pins_the_version() {
    let node = Node::start().await;
    node.upload("effects").await;
    let pair = |key: &str, value: &str| v1::KeyValue {
        key: key.into(),
        value: value.into(),
    };
    let mut request = v1::CreateWorkerRequest {
        worker: Some(reference("effects/made")),
        args: vec!["one".into(), "two".into()],
        env: vec![pair("COLOUR", "red")],
        ..v1::CreateWorkerRequest::default()
    };
    let made = node
        .workers
        .clone()
        .create_worker(request.clone())
        .await
        .unwrap()
        .into_inner()
        .worker
        .unwrap();
    assert_eq!(
        (made.status(), made.version, made.oplog_index),
        (WorkerStatus::Idle, 0, 1)
    );
    let again = node
        .workers
        .clone()
        .create_worker(request.clone())
        .await
        .unwrap_err();
    assert_eq!(kiln_proto::Error::from(again).code, ErrorCode::AlreadyExists);
    request.ignore_existing = true;
    node.workers.clone().create_worker(request).await.unwrap();
    assert_eq!(
        node.wave("effects/made", "api.{args}", &[]).await.unwrap(),
        "[\"one\", \"two\"]"
    );
    let env = node.wave("effects/made", "api.{env}", &[]).await.unwrap();
    assert!(
        env.contains("(\"COLOUR\", \"red\")") && env.contains("(\"GOLEM_WORKER_NAME\", \"made\")"),
        "{env}"
    );

    node.upload_bytes("effects", &guest_bytes("effects"), true)
        .await
        .unwrap();
    node.wave("effects/new", "api.{observe}", &[]).await.unwrap();
    assert_eq!(node.get("effects/new").await.unwrap().version, 1);
    assert_eq!(node.get("effects/made").await.unwrap().version, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_workers_than_fit_in_memory_all_answer() {
    let node = Node::start_with(Limits {
        loaded_workers_max: 4,
        ..Limits::default()
    })
    .await;
    node.upload("counter").await;
    for round in 1..=3 {
        let calls = (0..24).map(|worker| {
            let (node, worker) = (&node, format!("counter/m{worker}"));
            async move { node.wave(&worker, "api.{increment}", &["1"]).await.unwrap() }
        });
        for result in futures::future::join_all(calls).await {
            assert_eq!(result, round.to_string());
        }
    }
}
