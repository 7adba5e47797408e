//! A fleet of workers that stays, others that come and go, and lists of it that are read all the while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use kiln_client::{Address, Client, Options};
use kiln_proto::v1::{CreateWorkerRequest, KeyValue, ListWorkersRequest, WorkerRef};
use rand::Rng;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::guests;
use crate::load::Caller;
use crate::wait::eventually;

/// Workers that exist throughout a test.
pub const STABLE: usize = 200;
/// How long a call or a condition may take while nodes are dead.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Every fourth stable worker is in the group that filters pick.
const GROUPS: usize = 4;

/// A client that waits out faults.
///
/// # Errors
/// An endpoint is no address.
pub fn client(endpoints: &[String]) -> Result<Client> {
    let mut options = Options::new(Address::parse_list(&endpoints.join(","))?);
    options.deadline = PATIENCE;
    options.first_contact = PATIENCE;
    Ok(Client::new(options)?)
}

/// The name of a worker that stays.
#[must_use]
pub fn stable(number: usize) -> String {
    format!("stable-{number:03}")
}

/// Creates a worker of a group.
///
/// # Errors
/// It was refused, or not answered in time.
pub async fn create(client: &Client, worker: &str, group: usize) -> Result<()> {
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

/// Creates the workers that stay.
///
/// # Errors
/// As [`create`].
pub async fn create_stable(client: &Client) -> Result<()> {
    futures::stream::iter((0..STABLE).map(Ok))
        .try_for_each_concurrent(16, async |number| {
            create(client, &stable(number), number % GROUPS).await
        })
        .await
}

/// Uploads the counter, with the group as an indexed variable.
///
/// # Errors
/// It was refused.
pub async fn add_counter(cluster: &Cluster) -> Result<()> {
    let file = guests::path("counter");
    let file = file.to_str().context("a path in UTF-8")?;
    let command = ["component", "add", "counter", file, "--index-env", "GROUP"];
    cluster.kiln(1)?.json(&command).await?;
    Ok(())
}

/// A precise list of the whole component: a stream when `limit` is 0, else pages of that size.
///
/// # Errors
/// It was not answered in time.
pub async fn list(client: &Client, filters: &[&str], limit: u32) -> Result<Vec<String>> {
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

/// Lists that are read over and over, each checked, while workers come, work and go.
#[derive(Debug)]
pub struct Lists {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    churning: JoinHandle<()>,
    listing: Vec<JoinHandle<Result<()>>>,
}

impl Lists {
    /// Begins to read, through all these endpoints.
    ///
    /// # Errors
    /// An endpoint is no address.
    pub fn start(endpoints: &[String]) -> Result<Self> {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let caller = Caller::new(endpoints, 0, Duration::from_secs(5))?;
        let churning = tokio::spawn(churn(client(endpoints)?, caller, stop.clone()));
        let listing = (0..3)
            .map(|number| tokio::spawn(list_until(endpoints.to_vec(), number, stop.clone(), done.clone())))
            .collect();
        Ok(Self {
            stop,
            done,
            churning,
            listing,
        })
    }

    /// How many have been read.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until a list that was begun after this call is complete.
    ///
    /// # Errors
    /// That does not happen in time: no list is answered, or one was wrong.
    pub async fn go_on(&self) -> Result<()> {
        // Each of the three readers may have been at one; the fourth was begun since.
        let wanted = self.done() + 4;
        eventually("a list that was begun since is complete", PATIENCE, async || {
            Ok((self.done() >= wanted).then_some(()))
        })
        .await
    }

    /// Stops reading; returns how many lists were read.
    ///
    /// # Errors
    /// One of them was not complete, showed a worker twice, or was not answered.
    pub async fn finish(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        for listing in self.listing {
            listing.await??;
        }
        self.churning.await?;
        Ok(self.done.load(Ordering::Relaxed))
    }
}
