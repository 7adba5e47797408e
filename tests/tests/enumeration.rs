//! G7: lists are complete and without duplicates while owners die and shards move; what is missing is said.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kiln_proto::ErrorCode;
use kiln_proto::v1::{ChangeKind, CountWorkersRequest, ListWorkersRequest, WatchWorkersRequest, WorkerRef};
use kiln_tests::cluster::{Cluster, Shape};
use kiln_tests::fleet::{Lists, PATIENCE, STABLE, add_counter, client, create, create_stable, list, stable};
use kiln_tests::kiln::Kiln;
use kiln_tests::wait::eventually;
use rand::Rng;
use rand::seq::IndexedRandom;

const FAULTS_FOR: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_complete_while_owners_are_killed_and_shards_move() -> Result<()> {
    let mut cluster = Cluster::start(Shape::default()).await?;
    add_counter(&cluster).await?;
    let endpoints = cluster.endpoints();
    let client = client(&endpoints)?;
    create_stable(&client).await?;

    let lists = Lists::start(&endpoints)?;
    let began = Instant::now();
    let mut kills = 0;
    while began.elapsed() < FAULTS_FOR {
        let worker = stable(rand::rng().random_range(0..STABLE));
        let owner = eventually("somebody knows the owner", PATIENCE, async || {
            cluster.owner_of("counter", &worker).await.map(Some)
        });
        let owner = owner.await?;
        cluster.kill(owner)?;
        kills += 1;
        // Lists go on while the node is dead.
        lists.go_on().await?;
        cluster.restart(owner)?;
        cluster.ready().await?;
    }
    let lists = lists.finish().await?;
    eprintln!("{kills} kills, {lists} lists");

    let counted = client
        .count_workers(CountWorkersRequest {
            component: "counter".into(),
            precise: true,
            ..Default::default()
        })
        .await?;
    let all = list(&client, &[], 0).await?;
    assert_eq!(counted.count, all.len() as u64, "counters agree with the rows");
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_complete_while_nodes_are_drained_killed_and_filled_again() -> Result<()> {
    let shape = Shape {
        managers: 1,
        executors: 5,
        ..Shape::default()
    };
    let mut cluster = Cluster::start(shape).await?;
    add_counter(&cluster).await?;
    create_stable(&client(&cluster.endpoints())?).await?;
    let kiln = cluster.kiln(1)?;
    let address = |number: usize| cluster.executor(number).address.to_string();
    let (third, fourth, fifth) = (address(3), address(4), address(5));
    // Only nodes that are not going to be away are asked.
    let lists = Lists::start(&cluster.endpoints()[..2])?;
    assert!(
        replicas(&kiln, &fifth).await? > 0,
        "there is something to move away"
    );

    for leaving in [&fifth, &fourth] {
        kiln.json(&["cluster", "drain", leaving]).await?;
        assert_eq!(
            replicas(&kiln, leaving).await?,
            0,
            "a command returns once it is true"
        );
        lists.go_on().await?;
    }
    let (code, refusal) = kiln.refused(&["cluster", "drain", &third]).await?;
    assert_eq!(
        (code, refusal.code.as_str()),
        (4, "conflict"),
        "three replicas need three nodes"
    );
    assert!(refusal.hint.contains("add an executor"), "{}", refusal.hint);

    // Nobody misses the drained one; of the others one is dead, while the fourth is filled again.
    let executors = cluster.executors();
    cluster.kill(executors.end - 1)?;
    cluster.kill(executors.start + 2)?;
    lists.go_on().await?;
    kiln.json(&["cluster", "drain", &fourth, "--undo"]).await?;
    lists.go_on().await?;
    cluster.restart(executors.start + 2)?;
    cluster.restart(executors.end - 1)?;
    cluster.ready().await?;
    kiln.json(&["cluster", "rebalance"]).await?;
    assert!(replicas(&kiln, &fourth).await? > 0, "it has shards again");
    assert_eq!(replicas(&kiln, &fifth).await?, 0, "a drain outlives a restart");
    lists.go_on().await?;
    eprintln!("{} lists", lists.finish().await?);
    cluster.finish()
}

async fn replicas(kiln: &Kiln, address: &str) -> Result<u64> {
    let nodes = kiln.json(&["cluster", "nodes"]).await?;
    let nodes = nodes.as_array().context("a list of nodes")?;
    let node = nodes.iter().find(|node| node["address"] == address);
    node.and_then(|node| node["replicas"].as_u64())
        .with_context(|| format!("{address} is listed"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_without_a_majority_is_named_and_the_rest_is_there() -> Result<()> {
    let shape = Shape {
        managers: 1,
        executors: 4,
        ..Shape::default()
    };
    let mut cluster = Cluster::start(shape).await?;
    add_counter(&cluster).await?;
    create_stable(&client(&cluster.endpoints())?).await?;
    let executors: Vec<_> = cluster.executors().collect();
    for dead in &executors[2..] {
        cluster.kill(*dead)?;
    }
    let kiln = cluster.kiln(1)?;
    let partial = [
        "-o",
        "json",
        "worker",
        "list",
        "counter",
        "--precise",
        "--partial",
        "--all",
    ];
    // At first the managers do not know yet that the nodes are dead.
    let (names, missing) = eventually("a partial list", PATIENCE, async || {
        let outcome = kiln.run(&partial).await?;
        let list: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
        let missing: BTreeSet<u64> = list["missingShards"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_u64)
            .collect();
        let workers = list["workers"].as_array().context("a list")?;
        let names: Vec<_> = workers
            .iter()
            .filter_map(|worker| worker["worker"].as_str().map(str::to_owned))
            .collect();
        ensure!(
            outcome.code == 5,
            "exit code {}: {}",
            outcome.code,
            outcome.stderr
        );
        let is_mixed = !missing.is_empty() && !names.is_empty();
        Ok(is_mixed.then_some((names, missing)))
    })
    .await?;
    ensure!(
        missing.len() < 8 && names.len() < STABLE,
        "{missing:?} and {} rows",
        names.len()
    );

    let (code, refusal) = kiln
        .refused(&["worker", "list", "counter", "--precise", "--all"])
        .await?;
    assert_eq!((code, refusal.code.as_str()), (5, "unavailable"));
    let first = missing.first().context("one is missing")?.to_string();
    assert!(
        refusal.message.contains(&first),
        "{} names {first}",
        refusal.message
    );
    assert!(refusal.hint.contains("--partial"), "{}", refusal.hint);

    // Somebody still has everything, and says how old it is.
    let cached = kiln.json(&["worker", "list", "counter", "--all"]).await?;
    assert_eq!(cached["workers"].as_array().context("a list")?.len(), STABLE);
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_over_a_failover() -> Result<()> {
    let mut cluster = Cluster::start(Shape::default()).await?;
    add_counter(&cluster).await?;
    let endpoints = cluster.endpoints();
    let client = client(&endpoints)?;
    let mut watch = client.watch_workers(WatchWorkersRequest {
        component: "counter".into(),
        filters: vec!["env.GROUP = 1".into()],
        cursor: String::new(),
    });
    let started = watch.next().await?;
    assert!(started.events.is_empty() && !started.cursor.is_empty());
    create(&client, "a", 1).await?;
    create(&client, "b", 2).await?;
    let mut seen = Seen::default();
    seen.until(&mut watch, "a", ChangeKind::Changed).await?;

    let owner = cluster.owner_of("counter", "a").await?;
    cluster.kill(owner)?;
    let others: Vec<_> = endpoints
        .iter()
        .filter(|endpoint| **endpoint != cluster.nodes()[owner].endpoint())
        .cloned()
        .collect();
    let survivor = self::client(
        others
            .choose_multiple(&mut rand::rng(), 2)
            .cloned()
            .collect::<Vec<_>>()
            .as_slice(),
    )?;
    create(&survivor, "c", 1).await?;
    survivor
        .delete_worker(WorkerRef {
            component: "counter".into(),
            worker: "a".into(),
        })
        .await?;
    seen.until(&mut watch, "c", ChangeKind::Changed).await?;
    seen.until(&mut watch, "a", ChangeKind::Deleted).await?;
    assert!(
        !seen
            .0
            .iter()
            .any(|(worker, kind)| worker == "b" && *kind != ChangeKind::Deleted)
    );

    // A watch from the first cursor is told everything that is still true.
    let mut again = survivor.watch_workers(WatchWorkersRequest {
        component: "counter".into(),
        filters: vec!["env.GROUP = 1".into()],
        cursor: started.cursor,
    });
    let mut seen = Seen::default();
    seen.until(&mut again, "c", ChangeKind::Changed).await?;
    seen.until(&mut again, "a", ChangeKind::Deleted).await?;
    let refused = survivor
        .list_workers(ListWorkersRequest {
            component: "counter".into(),
            cursor: "00".into(),
            ..Default::default()
        })
        .await;
    assert_eq!(refused.map_err(|error| error.code), Err(ErrorCode::Invalid));
    cluster.restart(owner)?;
    cluster.ready().await?;
    cluster.finish()
}

/// What a watch has told so far.
#[derive(Default)]
struct Seen(Vec<(String, ChangeKind)>);

impl Seen {
    async fn until(
        &mut self,
        watch: &mut kiln_client::WorkerWatch,
        worker: &str,
        kind: ChangeKind,
    ) -> Result<()> {
        let is_seen = |seen: &Self| seen.0.iter().any(|(name, of)| name == worker && *of == kind);
        let told = async {
            while !is_seen(self) {
                let message = watch.next().await?;
                ensure!(!message.reset, "nothing has been forgotten");
                self.0.extend(
                    message
                        .events
                        .iter()
                        .map(|event| (event.worker.clone(), event.kind())),
                );
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, told)
            .await
            .with_context(|| format!("{worker} was never told as {kind:?}"))?
    }
}
