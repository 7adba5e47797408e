//! What rewrites a worker: updates, forks, reverts, cancelled invocations; and following one.

use std::time::Duration;

use futures::StreamExt;
use kiln_proto::{
    Error, ErrorCode, v1,
    v1::{UpdateMode, WorkerStatus, oplog_entry::Entry, revert_worker_request::Target},
};

use crate::node::{Node, guest_bytes, reference};

/// Versions 0, 1, 2 of `updates` are the guest's first, second and third.
async fn start() -> Node {
    let node = Node::start().await;
    for (guest, is_update) in [("updates-v1", false), ("updates-v2", true), ("updates-v3", true)] {
        node.upload_bytes("updates", &guest_bytes(guest), is_update)
            .await
            .unwrap();
    }
    node
}

async fn create(node: &Node, worker: &str) {
    let request = v1::CreateWorkerRequest {
        worker: Some(reference(worker)),
        version: Some(0),
        ..v1::CreateWorkerRequest::default()
    };
    node.workers.clone().create_worker(request).await.unwrap();
}

async fn update(node: &Node, worker: &str, version: u64, mode: UpdateMode) -> Result<(), Error> {
    let request = v1::UpdateWorkerRequest {
        worker: Some(reference(worker)),
        version,
        mode: mode.into(),
        ..v1::UpdateWorkerRequest::default()
    };
    node.workers.clone().update_worker(request).await?;
    Ok(())
}

async fn revert(node: &Node, worker: &str, target: Target) -> Result<(), Error> {
    let request = v1::RevertWorkerRequest {
        worker: Some(reference(worker)),
        target: Some(target),
        ..v1::RevertWorkerRequest::default()
    };
    node.workers.clone().revert_worker(request).await?;
    Ok(())
}

async fn fork(node: &Node, worker: &str, target: &str, cutoff: u64) -> Result<(), Error> {
    let request = v1::ForkWorkerRequest {
        source: Some(reference(worker)),
        target: target.into(),
        cutoff,
        ..v1::ForkWorkerRequest::default()
    };
    node.workers.clone().fork_worker(request).await?;
    Ok(())
}

async fn until(node: &Node, worker: &str, fits: impl Fn(&v1::WorkerInfo) -> bool) -> v1::WorkerInfo {
    let reached = async {
        loop {
            let info = node.get(worker).await.unwrap();
            if fits(&info) {
                return info;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), reached).await {
        Ok(info) => info,
        Err(_) => panic!("{:?}", node.get(worker).await),
    }
}

/// How many updates wait, have succeeded and have failed.
fn updates(info: &v1::WorkerInfo) -> (usize, usize, usize) {
    (
        info.pending_updates.len(),
        info.successful_updates.len(),
        info.failed_updates.len(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_forks_itself_also_where_writes_must_not_be_repeated() {
    let node = Node::start().await;
    node.upload("durable").await;
    for (name, idempotent) in [("careless", "true"), ("careful", "false")] {
        let (worker, copy) = (format!("durable/{name}"), format!("{name}-copy"));
        node.wave(&worker, "count", &[]).await.unwrap();
        let told = node
            .wave(&worker, "fork", &[&format!("{copy:?}"), idempotent])
            .await;
        assert_eq!(told.unwrap(), format!("\"{name} ForkResult::Original 2\""));
        let copy = format!("durable/{copy}");
        let done = node.until(&copy, WorkerStatus::Idle).await;
        assert_eq!(done.last_error, None, "{name}");
        let entries = node.entries(&copy).await;
        let told = entries.last().unwrap();
        assert_eq!(told["type"], "exported-function-completed", "{told}");
        assert!(
            told.to_string()
                .contains(&format!("{name}-copy ForkResult::Forked 2")),
            "{told}"
        );
        // Both go on, and both are replayed to where they are.
        let node = &node;
        for worker in [&worker, &copy] {
            node.interrupt(worker, true).await.unwrap();
            assert_eq!(node.wave(worker, "count", &[]).await.unwrap(), "3", "{worker}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_automatic_update_replays_or_is_given_up() {
    let node = start().await;
    let worker = "updates/a";
    create(&node, worker).await;
    node.wave(worker, "api.{increment}", &["5"]).await.unwrap();
    update(&node, worker, 1, UpdateMode::Automatic).await.unwrap();
    let info = until(&node, worker, |info| updates(info).0 == 0).await;
    assert_eq!((info.version, updates(&info)), (1, (0, 1, 0)));
    assert_eq!(node.wave(worker, "api.{version}", &[]).await.unwrap(), "2");
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "5");

    // The third version diverges, and there is no ninth: both times the worker goes on as it was.
    for (version, failed) in [(2, 1), (9, 2)] {
        update(&node, worker, version, UpdateMode::Automatic)
            .await
            .unwrap();
        let info = until(&node, worker, |info| updates(info).0 == 0).await;
        assert_eq!((info.version, updates(&info)), (1, (0, 1, failed)));
        assert!(info.failed_updates.last().unwrap().details.is_some());
    }
    assert_eq!(node.wave(worker, "api.{increment}", &["1"]).await.unwrap(), "6");
    let again = update(&node, worker, 1, UpdateMode::Automatic).await.unwrap_err();
    assert_eq!(again.message, "Worker is already at the target version");
    let missing = update(&node, "updates/none", 1, UpdateMode::Automatic).await;
    assert_eq!(missing.unwrap_err().code, ErrorCode::NotFound);

    let node = node.restart().await;
    assert_eq!(node.wave(worker, "api.{version}", &[]).await.unwrap(), "2");
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_invocation_goes_on_in_the_new_version() {
    let node = start().await;
    let worker = "updates/r";
    create(&node, worker).await;
    let counting = node.wave(worker, "api.{count-slowly}", &["10", "200"]);
    let updating = async {
        until(&node, worker, |info| info.oplog_index > 6).await;
        update(&node, worker, 1, UpdateMode::Automatic).await.unwrap();
    };
    let (counted, ()) = tokio::join!(counting, updating);
    assert_eq!(counted.unwrap(), "1010");
    let info = node.get(worker).await.unwrap();
    assert_eq!((info.version, updates(&info)), (1, (0, 1, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_mends_a_failed_worker() {
    let node = start().await;
    let worker = "updates/f";
    create(&node, worker).await;
    node.wave(worker, "api.{increment}", &["3"]).await.unwrap();
    node.wave(worker, "api.{fragile}", &[]).await.unwrap_err();
    assert_eq!(node.get(worker).await.unwrap().status(), WorkerStatus::Failed);
    update(&node, worker, 1, UpdateMode::Automatic).await.unwrap();
    node.until(worker, WorkerStatus::Idle).await;
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_carries_the_state_over_or_is_refused() {
    let node = start().await;
    let worker = "updates/s";
    create(&node, worker).await;
    for _ in 0..3 {
        node.wave(worker, "api.{increment}", &["7"]).await.unwrap();
    }
    update(&node, worker, 2, UpdateMode::SnapshotBased).await.unwrap();
    let info = until(&node, worker, |info| updates(info) == (0, 0, 1)).await;
    let details = info.failed_updates[0].details.clone().unwrap();
    assert!(details.contains("this version loads nothing"), "{details}");
    assert_eq!(node.wave(worker, "api.{increment}", &["7"]).await.unwrap(), "28");

    update(&node, worker, 1, UpdateMode::SnapshotBased).await.unwrap();
    let info = until(&node, worker, |info| updates(info) == (0, 1, 1)).await;
    assert_eq!(info.version, 1);
    assert_eq!(node.wave(worker, "api.{version}", &[]).await.unwrap(), "2");
    assert_eq!(node.wave(worker, "api.{increment}", &["2"]).await.unwrap(), "30");
    // Replay begins with the snapshot from now on.
    node.interrupt(worker, true).await.unwrap();
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "30");
    let node = node.restart().await;
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "30");

    // Back to before the update: the first version, replayed from the beginning.
    let pending = node.kinds(worker).await;
    let at = pending.iter().rposition(|kind| kind == "pending-update").unwrap();
    revert(&node, worker, Target::ToIndex(at as u64)).await.unwrap();
    let info = node.get(worker).await.unwrap();
    assert_eq!((info.version, info.successful_updates.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_undoes_invocations_and_failures() {
    let node = start().await;
    let worker = "updates/back";
    create(&node, worker).await;
    for key in ["a", "b", "c"] {
        node.call(worker, "api.{increment}", &["1"], key).await.unwrap();
    }
    revert(&node, worker, Target::LastInvocations(2)).await.unwrap();
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "1");
    // What was undone can be done again under its key.
    let again = node.call(worker, "api.{increment}", &["10"], "c").await.unwrap();
    assert!(!again.replayed);
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "11");

    node.wave(worker, "api.{fragile}", &[]).await.unwrap_err();
    revert(&node, worker, Target::LastInvocations(1)).await.unwrap();
    assert_eq!(node.get(worker).await.unwrap().status(), WorkerStatus::Idle);
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "11");
    for index in [0, 10_000, 9] {
        let refused = revert(&node, worker, Target::ToIndex(index)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid, "{index}");
    }
    let refused = revert(&node, worker, Target::LastInvocations(99)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_goes_its_own_way() {
    let node = start().await;
    let worker = "updates/source";
    create(&node, worker).await;
    node.call(worker, "api.{increment}", &["4"], "first")
        .await
        .unwrap();
    let cutoff = node.get(worker).await.unwrap().oplog_index;
    node.wave(worker, "api.{increment}", &["100"]).await.unwrap();
    // Some of them lie on other shards.
    for copy in 0..6 {
        let name = format!("copy{copy}");
        fork(&node, worker, &name, cutoff).await.unwrap();
        let copy = format!("updates/{name}");
        assert_eq!(node.wave(&copy, "api.{increment}", &["1"]).await.unwrap(), "5");
        // Results that the copy shares are not computed again.
        assert!(
            node.call(&copy, "api.{increment}", &["4"], "first")
                .await
                .unwrap()
                .replayed
        );
    }
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "104");
    let refusals = [
        (worker, "copy0", cutoff, ErrorCode::AlreadyExists),
        (worker, "early", 1, ErrorCode::Invalid),
        (worker, "late", 10_000, ErrorCode::Invalid),
        ("updates/none", "new", 2, ErrorCode::NotFound),
    ];
    for (source, target, cutoff, code) in refusals {
        let refused = fork(&node, source, target, cutoff).await.unwrap_err();
        assert_eq!(refused.code, code, "{target}");
    }
    assert_eq!(
        node.get("updates/early").await.unwrap_err().code,
        ErrorCode::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fork_of_a_running_worker_finishes_its_copy() {
    let node = start().await;
    let worker = "updates/busy";
    create(&node, worker).await;
    let counting = node.call(worker, "api.{count-slowly}", &["10", "200"], "k");
    let forking = async {
        let info = until(&node, worker, |info| info.oplog_index > 6).await;
        fork(&node, worker, "twin", info.oplog_index).await.unwrap();
        node.call("updates/twin", "api.{count-slowly}", &["10", "200"], "k")
            .await
            .unwrap();
    };
    let (counted, ()) = tokio::join!(counting, forking);
    counted.unwrap();
    assert_eq!(node.wave("updates/twin", "api.{get}", &[]).await.unwrap(), "10");
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_invocation_that_waits_can_be_cancelled() {
    let node = start().await;
    let worker = "updates/queue";
    create(&node, worker).await;
    node.call(worker, "api.{increment}", &["1"], "done")
        .await
        .unwrap();
    let cancel = |key: &'static str| {
        let request = v1::CancelInvocationRequest {
            worker: Some(reference(worker)),
            idempotency_key: key.into(),
        };
        let mut workers = node.workers.clone();
        async move {
            let answer = workers.cancel_invocation(request).await;
            answer
                .map(|answer| answer.into_inner().cancelled)
                .map_err(Error::from)
        }
    };
    let counting = node.call(worker, "api.{count-slowly}", &["10", "200"], "runs");
    let waiting = async {
        node.until(worker, WorkerStatus::Running).await;
        node.call(worker, "api.{increment}", &["1000"], "waits").await
    };
    let cancelling = async {
        until(&node, worker, |info| info.pending_invocations == 1).await;
        assert!(!cancel("done").await.unwrap());
        assert!(!cancel("runs").await.unwrap());
        assert_eq!(cancel("unknown").await.unwrap_err().code, ErrorCode::NotFound);
        assert!(cancel("waits").await.unwrap());
    };
    let (counted, waited, ()) = tokio::join!(counting, waiting, cancelling);
    counted.unwrap();
    assert_eq!(waited.unwrap_err().message, "Invocation cancelled");
    assert_eq!(node.wave(worker, "api.{get}", &[]).await.unwrap(), "11");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_every_line_once_and_can_come_back() {
    let node = start().await;
    let worker = "updates/told";
    create(&node, worker).await;
    let follow = |from: Option<u64>| {
        let request = v1::ConnectWorkerRequest {
            worker: Some(reference(worker)),
            from,
        };
        let mut workers = node.workers.clone();
        async move { workers.connect_worker(request).await.unwrap().into_inner() }
    };
    let mut first = follow(None).await;
    let counting = node.wave(worker, "api.{count-slowly}", &["8", "100"]);
    let following = async {
        let mut lines = Vec::new();
        let mut last = 0;
        while lines.len() < 3 {
            let event = first.next().await.unwrap().unwrap();
            last = event.index;
            lines.extend(line(&event));
        }
        node.interrupt(worker, true).await.unwrap();
        let mut second = follow(Some(last + 1)).await;
        while lines.len() < 8 {
            lines.extend(line(&second.next().await.unwrap().unwrap()));
        }
        lines
    };
    let (counted, lines) = tokio::join!(counting, following);
    counted.unwrap();
    let expected: Vec<String> = (1..=8).map(|count| format!("counted {count}")).collect();
    assert_eq!(lines, expected);
    node.delete(worker).await.unwrap();
    let ended = async {
        loop {
            if let Err(status) = first.next().await.unwrap() {
                return Error::from(status).code;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
    assert_eq!(ended.expect("the stream ends"), ErrorCode::NotFound);
}

fn line(event: &v1::IndexedOplogEntry) -> Option<String> {
    match event.entry.as_ref()?.entry.as_ref()? {
        Entry::Log(log) => Some(log.message.clone()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_worker_forgets_and_answers_keys() {
    let node = Node::start().await;
    node.upload_ephemeral("updates", &guest_bytes("updates-v1")).await;
    let worker = "updates/e";
    for _ in 0..3 {
        assert_eq!(node.wave(worker, "api.{increment}", &["2"]).await.unwrap(), "2");
    }
    let first = node.call(worker, "api.{increment}", &["5"], "k").await.unwrap();
    let again = node.call(worker, "api.{increment}", &["5"], "k").await.unwrap();
    assert!(!first.replayed && again.replayed && first.result == again.result);
    let calls = node.kinds(worker).await;
    let completed = calls.iter().filter(|kind| *kind == "exported-function-completed");
    assert_eq!(completed.count(), 4);
    let refused = update(&node, worker, 1, UpdateMode::Automatic).await.unwrap_err();
    assert_eq!(refused.message, "Ephemeral workers cannot be updated");
}
