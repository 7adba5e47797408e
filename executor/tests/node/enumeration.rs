use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kiln_proto::{
    Error, ErrorCode,
    v1::{self, ChangeKind, WorkerStatus},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::node::{Node, reference};

async fn list(node: &Node, request: v1::ListWorkersRequest) -> Result<v1::ListWorkersResponse, Error> {
    Ok(node.workers.clone().list_workers(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_every_worker_once() {
    let node = Node::start().await;
    node.upload("counter").await;
    let names: BTreeSet<String> = (0..30).map(|number| format!("w{number:02}")).collect();
    for name in &names {
        node.wave(&format!("counter/{name}"), "api.{get}", &[])
            .await
            .unwrap();
    }
    let mut request = v1::ListWorkersRequest {
        component: "counter".into(),
        precise: true,
        limit: 7,
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = list(&node, request.clone()).await.unwrap();
        assert!(page.workers.len() <= 7);
        seen.extend(page.workers.into_iter().map(|worker| worker.worker));
        if page.cursor.is_empty() {
            break;
        }
        request.cursor = page.cursor;
    }
    assert_eq!(seen.len(), names.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), names);

    request.cursor = String::new();
    request.limit = 30;
    assert!(
        list(&node, request.clone()).await.unwrap().cursor.is_empty(),
        "everything fits"
    );
    request.filters = vec!["name startswith w0".into(), "status = idle".into()];
    assert_eq!(list(&node, request.clone()).await.unwrap().workers.len(), 10);
    request.filters = vec!["name ~ x".into()];
    assert_eq!(
        list(&node, request.clone()).await.unwrap_err().code,
        ErrorCode::Invalid
    );
    request.filters.clear();
    request.cursor = "zz".into();
    assert_eq!(list(&node, request).await.unwrap_err().code, ErrorCode::Invalid);

    for (filters, expected) in [(vec![], 30), (vec!["name like 1".to_owned()], 12)] {
        let request = v1::CountWorkersRequest {
            component: "counter".into(),
            filters,
            precise: true,
            ..Default::default()
        };
        let counted = node
            .workers
            .clone()
            .count_workers(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(counted.count, expected);
    }
}

/// What may happen to a worker.
#[derive(Debug, Clone, Copy)]
enum Step {
    Create(u8),
    Invoke,
    Interrupt,
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    let step = prop_oneof![
        4 => (0..3u8).prop_map(Step::Create),
        2 => Just(Step::Invoke),
        1 => Just(Step::Interrupt),
        1 => Just(Step::Delete),
    ];
    prop::collection::vec((0..12u8, step), 1..40)
}

/// A worker as the model has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expected {
    group: u8,
    is_interrupted: bool,
}

#[test]
fn lists_and_counts_agree_with_a_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(async {
        let node = Node::start().await;
        node.upload_indexed("counter", "GROUP").await;
        node
    });
    let mut runner = TestRunner::new(Config {
        cases: 12,
        ..Config::default()
    });
    let model = std::cell::RefCell::new(BTreeMap::new());
    runner
        .run(&(steps(), 1..8u32), |(steps, limit)| {
            let mut model = model.borrow_mut();
            runtime
                .block_on(async {
                    for (number, step) in steps {
                        take(&node, &mut model, number, step).await;
                    }
                    check(&node, &model, limit).await
                })
                .map_err(TestCaseError::fail)
        })
        .unwrap();
}

async fn take(node: &Node, model: &mut BTreeMap<String, Expected>, number: u8, step: Step) {
    let name = format!(
        "{}{number:02}",
        if number.is_multiple_of(2) { "even-" } else { "odd-" }
    );
    let worker = format!("counter/{name}");
    match (step, model.get_mut(&name)) {
        (Step::Create(group), None) => {
            create(node, &worker, group).await;
            let expected = Expected {
                group,
                is_interrupted: false,
            };
            model.insert(name, expected);
        }
        (Step::Invoke, Some(expected)) => {
            node.wave(&worker, "api.{get}", &[]).await.unwrap();
            expected.is_interrupted = false;
        }
        (Step::Interrupt, Some(_)) => {
            node.interrupt(&worker, false).await.unwrap();
            let is_interrupted = node.get(&worker).await.unwrap().status() == WorkerStatus::WorkerInterrupted;
            model.get_mut(&name).unwrap().is_interrupted = is_interrupted;
        }
        (Step::Delete, Some(_)) => {
            node.delete(&worker).await.unwrap();
            model.remove(&name);
        }
        _ => {}
    }
}

async fn create(node: &Node, worker: &str, group: u8) {
    let request = v1::CreateWorkerRequest {
        worker: Some(reference(worker)),
        env: vec![v1::KeyValue {
            key: "GROUP".into(),
            value: group.to_string(),
        }],
        ..Default::default()
    };
    node.workers.clone().create_worker(request).await.unwrap();
}

type Test = fn(&str, &Expected) -> bool;

async fn check(node: &Node, model: &BTreeMap<String, Expected>, limit: u32) -> Result<(), String> {
    let cases: [(&str, Test); 7] = [
        ("", |_, _| true),
        ("status = idle", |_, expected| !expected.is_interrupted),
        ("status != idle", |_, expected| expected.is_interrupted),
        ("env.GROUP = 1", |_, expected| expected.group == 1),
        ("env.group = 1 or env.group = 2", |_, expected| expected.group > 0),
        ("name startswith even and not env.GROUP = 0", |name, expected| {
            name.starts_with("even") && expected.group != 0
        }),
        (
            "createdAt > 2020-01-01T00:00:00Z and version < 1 and name like dd",
            |name, _| name.starts_with("odd"),
        ),
    ];
    for (filter, test) in cases {
        let wanted = model.iter().filter(|(name, expected)| test(name, expected));
        let wanted: BTreeSet<String> = wanted.map(|(name, _)| name.clone()).collect();
        let filters: Vec<String> = (!filter.is_empty())
            .then(|| filter.to_owned())
            .into_iter()
            .collect();
        let request = v1::ListWorkersRequest {
            component: "counter".into(),
            filters: filters.clone(),
            precise: true,
            limit,
            ..Default::default()
        };
        for listed in [pages(node, request.clone()).await, streamed(node, request).await] {
            let distinct: BTreeSet<String> = listed.iter().cloned().collect();
            if distinct.len() != listed.len() || distinct != wanted {
                return Err(format!("{filter}: {listed:?} instead of {wanted:?}"));
            }
        }
        let count = v1::CountWorkersRequest {
            component: "counter".into(),
            filters,
            precise: true,
            ..Default::default()
        };
        let counted = node
            .workers
            .clone()
            .count_workers(count)
            .await
            .unwrap()
            .into_inner();
        if counted.count != wanted.len() as u64 {
            return Err(format!(
                "{filter}: {} counted, {} there",
                counted.count,
                wanted.len()
            ));
        }
    }
    Ok(())
}

async fn pages(node: &Node, mut request: v1::ListWorkersRequest) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let page = list(node, request.clone()).await.unwrap();
        names.extend(page.workers.into_iter().map(|worker| worker.worker));
        if page.cursor.is_empty() {
            return names;
        }
        request.cursor = page.cursor;
    }
}

async fn streamed(node: &Node, request: v1::ListWorkersRequest) -> Vec<String> {
    let mut messages = node
        .workers
        .clone()
        .stream_workers(request)
        .await
        .unwrap()
        .into_inner();
    let mut names = Vec::new();
    while let Some(page) = messages.message().await.unwrap() {
        names.extend(page.workers.into_iter().map(|worker| worker.worker));
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_costs_what_matches_and_says_so() {
    let node = Node::start().await;
    node.upload_indexed("counter", "GROUP").await;
    for number in 0..120 {
        create(&node, &format!("counter/w{number}"), u8::from(number < 6)).await;
    }
    let explained = |filter: &str| v1::ListWorkersRequest {
        component: "counter".into(),
        filters: vec![filter.into()],
        precise: true,
        explain: true,
        ..Default::default()
    };
    for (filter, index, rows) in [
        ("env.GROUP = 1", "variable", 6),
        ("name = w7", "name", 1),
        ("status = failed", "nothing", 0),
        ("version > 0 or status > idle", "nothing", 0),
    ] {
        let page = list(&node, explained(filter)).await.unwrap();
        assert_eq!(page.workers.len() as u64, rows, "{filter}");
        let examined: u64 = page.parts.iter().map(|part| part.rows_examined).sum();
        assert_eq!(examined, rows, "{filter}: {:?}", page.parts);
        let is_there = page.parts.iter().any(|part| part.index == index);
        assert!(is_there, "{filter}: {:?}", page.parts);
    }
    let count = v1::CountWorkersRequest {
        component: "counter".into(),
        explain: true,
        ..Default::default()
    };
    let counted = node
        .workers
        .clone()
        .count_workers(count)
        .await
        .unwrap()
        .into_inner();
    assert!(
        counted.parts.iter().all(|part| part.index == "counters"),
        "{counted:?}"
    );
    assert_eq!(
        counted.by_version,
        [v1::VersionCount {
            version: 0,
            count: 120
        }]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_after_a_restart_and_for_its_list_alone() {
    let node = Node::start().await;
    node.upload("counter").await;
    for number in 0..10 {
        create(&node, &format!("counter/w{number}"), 0).await;
    }
    let mut request = v1::ListWorkersRequest {
        component: "counter".into(),
        precise: true,
        limit: 4,
        ..Default::default()
    };
    let first = list(&node, request.clone()).await.unwrap();
    let node = node.restart().await;
    request.cursor.clone_from(&first.cursor);
    let mut names = pages(&node, request.clone()).await;
    names.extend(first.workers.into_iter().map(|worker| worker.worker));
    names.sort();
    assert_eq!(
        names,
        (0..10).map(|number| format!("w{number}")).collect::<Vec<_>>()
    );
    request.filters.push("version = 0".into());
    let refused = list(&node, request).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert!(
        refused.message.contains("another component or filter"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_concerns_its_filter() {
    let node = Node::start().await;
    node.upload("effects").await;
    create(&node, "effects/before", 1).await;
    let request = v1::WatchWorkersRequest {
        component: "effects".into(),
        filters: vec!["status = idle and name startswith a".into()],
        ..Default::default()
    };
    let mut watch = node
        .workers
        .clone()
        .watch_workers(request.clone())
        .await
        .unwrap()
        .into_inner();
    let started = watch.message().await.unwrap().unwrap();
    assert!(started.events.is_empty());
    create(&node, "effects/a1", 1).await;
    create(&node, "effects/b1", 1).await;
    assert_eq!(next(&mut watch).await, [("a1".to_owned(), ChangeKind::Changed)]);
    node.wave("effects/a1", "api.{trap}", &["\"x\""])
        .await
        .unwrap_err();
    node.until("effects/a1", WorkerStatus::Failed).await;
    let left = ("a1".to_owned(), ChangeKind::Left);
    assert_eq!(next(&mut watch).await, std::slice::from_ref(&left));
    node.delete("effects/a1").await.unwrap();
    // Changes in quick succession are summed up, and then it is not known that nothing matched in between.
    let deleted = [("a1".to_owned(), ChangeKind::Deleted)];
    loop {
        let events = next(&mut watch).await;
        if events == deleted {
            break;
        }
        assert_eq!(events, std::slice::from_ref(&left));
    }

    // From the first cursor on only the latest change of each is told.
    let resumed = v1::WatchWorkersRequest {
        cursor: started.cursor,
        ..request
    };
    let mut again = node
        .workers
        .clone()
        .watch_workers(resumed)
        .await
        .unwrap()
        .into_inner();
    again.message().await.unwrap().unwrap();
    assert_eq!(next(&mut again).await, deleted);
}

async fn next(watch: &mut tonic::Streaming<v1::WatchWorkersResponse>) -> Vec<(String, ChangeKind)> {
    let message = tokio::time::timeout(Duration::from_secs(10), watch.message());
    let message = message.await.expect("an event").unwrap().unwrap();
    let events = message.events.iter();
    events.map(|event| (event.worker.clone(), event.kind())).collect()
}
