//! G7: lists are complete and without duplicates while owners die and shards move; what is missing is said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use kiln_client::{Address, Client, Options};
use kiln_proto::ErrorCode;
use kiln_proto::v1::{
    ChangeKind, CountWorkersRequest, CreateWorkerRequest, KeyValue, ListWorkersRequest, WatchWorkersRequest,
    WorkerRef,
};
use kiln_tests::cluster::{Cluster, Shape};
use kiln_tests::guests;
use kiln_tests::load::Caller;
use kiln_tests::wait::eventually;
use rand::Rng;
use rand::seq::IndexedRandom;

const STABLE: usize = 200;
const FAULTS_FOR: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(30);
/// Every fourth stable worker is in the group that filters pick.
const GROUPS: usize = 4;

fn client(endpoints: &[String]) -> Result<Client> {
    let mut options = Options::new(Address::parse_list(&endpoints.join(","))?);
    options.deadline = PATIENCE;
    options.first_contact = PATIENCE;
    Ok(Client::new(options)?)
}

fn stable(number: usize) -> String {
    format!("stable-{number:03}")
}

async fn create(client: &Client, worker: &str, group: usize) -> Result<()> {
    let request = CreateWorkerRequest {
        worker: Some(WorkerRef {
            component: "counter".into(),
            worker: worker.into(),
        }),
        env: vec![KeyValue {
            key: "GROUP".into(),
            value: group.to_string(),
        }],
        ignore_existing: true,
        ..Default::default()
    };
    client
        .create_worker(request)
        .await
        .with_context(|| format!("create {worker}"))?;
    Ok(())
}

async fn create_stable(client: &Client) -> Result<()> {
    futures::stream::iter((0..STABLE).map(Ok))
        .try_for_each_concurrent(16, async |number| {
            create(client, &stable(number), number % GROUPS).await
        })
        .await
}

async fn add_counter(cluster: &Cluster) -> Result<()> {
    let file = guests::path("counter");
    let file = file.to_str().context("a path in UTF-8")?;
    let command = ["component", "add", "counter", file, "--index-env", "GROUP"];
    cluster.kiln(1)?.json(&command).await?;
    Ok(())
}

/// A list of the whole component, in one of the ways that there are.
async fn list(client: &Client, filters: &[&str], limit: u32) -> Result<Vec<String>> {
    let mut request = ListWorkersRequest {
        component: "counter".into(),
        filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
        precise: true,
        limit,
        ..Default::default()
    };
    let mut names = Vec::new();
    if limit == 0 {
        let mut pages = client.stream_workers(request);
        while let Some(page) = pages.next().await? {
            names.extend(page.workers.into_iter().map(|worker| worker.worker));
        }
        return Ok(names);
    }
    loop {
        let page = client.list_workers(request.clone()).await?;
        names.extend(page.workers.into_iter().map(|worker| worker.worker));
        if page.cursor.is_empty() {
            return Ok(names);
        }
        request.cursor = page.cursor;
    }
}

/// Every stable worker that is looked for is there once, and no other one twice.
fn check(names: &[String], group: Option<usize>) -> Result<()> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *seen.entry(name).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(twice.is_empty(), "listed more than once: {twice:?}");
    let expected = (0..STABLE).filter(|number| group.is_none_or(|group| number % GROUPS == group));
    let missed: Vec<_> = expected
        .map(stable)
        .filter(|name| !seen.contains_key(name.as_str()))
        .collect();
    ensure!(missed.is_empty(), "not listed: {missed:?}");
    Ok(())
}

/// Other workers come, work and go while lists are read.
async fn churn(client: Client, caller: Caller, stop: Arc<AtomicBool>) {
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("fleeting-{}", turn % 50);
        // A fault may be met; what matters is only that something changes.
        let _ = create(&client, &name, turn % GROUPS).await;
        let _ = caller.increment(&stable(turn % STABLE), "").await;
        let worker = WorkerRef {
            component: "counter".into(),
            worker: format!("fleeting-{}", (turn + 25) % 50),
        };
        let _ = client.delete_worker(worker).await;
    }
}

async fn list_until(
    endpoints: Vec<String>,
    number: usize,
    stop: Arc<AtomicBool>,
    lists: Arc<AtomicUsize>,
) -> Result<()> {
    let client = client(&endpoints)?;
    while !stop.load(Ordering::Relaxed) {
        let limit = if number == 0 {
            0
        } else {
            rand::rng().random_range(1..60)
        };
        let (filters, group): (&[&str], _) = match rand::rng().random_range(0..3) {
            0 => (&[], None),
            1 => (&["env.GROUP = 2"], Some(2)),
            _ => (&["name startswith stable"], None),
        };
        let names = list(&client, filters, limit).await?;
        check(&names, group).with_context(|| format!("filters {filters:?}, {limit} a page"))?;
        lists.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_complete_while_owners_are_killed_and_shards_move() -> Result<()> {
    let mut cluster = Cluster::start(Shape::default()).await?;
    add_counter(&cluster).await?;
    let endpoints = cluster.endpoints();
    let client = client(&endpoints)?;
    create_stable(&client).await?;

    let (stop, lists) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let caller = Caller::new(&endpoints, 0, Duration::from_secs(5))?;
    let churning = tokio::spawn(churn(client.clone(), caller, stop.clone()));
    let listing: Vec<_> = (0..3)
        .map(|number| tokio::spawn(list_until(endpoints.clone(), number, stop.clone(), lists.clone())))
        .collect();
    let began = Instant::now();
    let mut kills = 0;
    while began.elapsed() < FAULTS_FOR {
        let worker = stable(rand::rng().random_range(0..STABLE));
        let owner = eventually("somebody knows the owner", PATIENCE, async || {
            cluster.owner_of("counter", &worker).await.map(Some)
        });
        let owner = owner.await?;
        let before = lists.load(Ordering::Relaxed);
        cluster.kill(owner)?;
        kills += 1;
        // Lists go on while the node is dead.
        eventually("a list that was begun since is complete", PATIENCE, async || {
            Ok((lists.load(Ordering::Relaxed) >= before + 4).then_some(()))
        })
        .await?;
        cluster.restart(owner)?;
        cluster.ready().await?;
    }
    stop.store(true, Ordering::Relaxed);
    for listing in listing {
        listing.await??;
    }
    churning.await?;
    eprintln!("{kills} kills, {} lists", lists.load(Ordering::Relaxed));

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
