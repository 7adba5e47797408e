//! What rewrites or follows a worker, over a failover in the middle: updates, reverts, forks, followers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use kiln_proto::v1::{
    ForkWorkerRequest, IndexedOplogEntry, RevertWorkerRequest, UpdateMode, UpdateWorkerRequest,
    oplog_entry::Entry, revert_worker_request::Target,
};
use kiln_tests::client::{PatientClient, reference};
use kiln_tests::cluster::Cluster;
use kiln_tests::guests;
use kiln_tests::wait::eventually;

const PATIENCE: Duration = Duration::from_secs(60);
/// Of each kind, each with a kill.
const ROUNDS: u64 = 3;

/// Versions 0 and 1 of `updates`.
async fn start() -> Result<(Cluster, PatientClient)> {
    let cluster = Cluster::with_component("updates-v1").await?;
    cluster
        .update_component("updates-v1", &guests::path("updates-v2"))
        .await?;
    let client = PatientClient::new(&cluster, PATIENCE)?;
    Ok((cluster, client))
}

async fn create(cluster: &Cluster, worker: &str) -> Result<()> {
    let create = ["worker", "create", worker, "--version", "0"];
    cluster.kiln(1)?.json(&create).await?;
    Ok(())
}

async fn increment(client: &PatientClient, worker: &str, by: u64) -> Result<u64> {
    let answer = client
        .wave(worker, "test:updates/api.{increment}", &[&by.to_string()], "")
        .await?;
    Ok(answer.parse()?)
}

/// Does something while the owner of a worker is killed, and starts that again.
async fn while_owner_dies<T>(
    cluster: &mut Cluster,
    worker: &str,
    something: impl Future<Output = Result<T>>,
) -> Result<T> {
    let (component, name) = worker.split_once('/').context("COMPONENT/WORKER")?;
    let owner = cluster.owner_of(component, name).await?;
    let kill = async {
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..30))).await;
        cluster.kill(owner)
    };
    let (done, killed) = tokio::join!(something, kill);
    killed?;
    cluster.restart(owner)?;
    cluster.ready().await?;
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_reverts_and_forks_are_made_once_although_the_owner_dies() -> Result<()> {
    let (mut cluster, client) = start().await?;
    for round in 0..ROUNDS {
        let worker = format!("updates-v1/w{round}");
        create(&cluster, &worker).await?;
        ensure!(increment(&client, &worker, 5).await? == 5);
        ensure!(increment(&client, &worker, 6).await? == 11);

        let update = UpdateWorkerRequest {
            worker: Some(reference(&worker)),
            version: 1,
            mode: UpdateMode::Automatic.into(),
            ..UpdateWorkerRequest::default()
        };
        let updating = async { Ok(client.0.update_worker(update).await?) };
        while_owner_dies(&mut cluster, &worker, updating).await?;
        eventually("the update is made", PATIENCE, async || {
            let info = client.worker(&worker).await?;
            Ok((info.version == 1 && info.pending_updates.is_empty()).then_some(()))
        })
        .await?;
        let info = client.worker(&worker).await?;
        ensure!(
            info.successful_updates.len() == 1 && info.failed_updates.is_empty(),
            "{info:?}"
        );
        let version = client
            .wave(&worker, "test:updates/api.{version}", &[], "")
            .await?;
        ensure!(version == "2", "version {version}");
        ensure!(increment(&client, &worker, 1).await? == 12);

        let revert = RevertWorkerRequest {
            worker: Some(reference(&worker)),
            target: Some(Target::LastInvocations(1)),
            ..RevertWorkerRequest::default()
        };
        let reverting = async { Ok(client.0.revert_worker(revert).await?) };
        while_owner_dies(&mut cluster, &worker, reverting).await?;
        // Once: a second one would have taken the next invocation as well.
        ensure!(increment(&client, &worker, 0).await? == 11, "round {round}");

        let copy = format!("copy{round}");
        let fork = ForkWorkerRequest {
            source: Some(reference(&worker)),
            target: copy.clone(),
            cutoff: client.worker(&worker).await?.oplog_index,
            ..ForkWorkerRequest::default()
        };
        let forking = async { Ok(client.0.fork_worker(fork.clone()).await?) };
        while_owner_dies(&mut cluster, &worker, forking).await?;
        let copy = format!("updates-v1/{copy}");
        ensure!(increment(&client, &copy, 1).await? == 12, "round {round}");
        ensure!(increment(&client, &worker, 0).await? == 11, "round {round}");
    }
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_misses_nothing_and_sees_nothing_twice_although_the_owner_dies() -> Result<()> {
    const STEPS: u64 = 40;
    let (mut cluster, client) = start().await?;
    let worker = "updates-v1/followed";
    create(&cluster, worker).await?;
    let events = client.0.connect_worker(reference(worker), Some(1));
    let following = async {
        let mut seen: Vec<IndexedOplogEntry> = Vec::new();
        tokio::pin!(events);
        while let Some(event) = events.next().await {
            let event = event?;
            let entry = event.entry.as_ref().and_then(|entry| entry.entry.as_ref());
            let is_end = matches!(entry, Some(Entry::ExportedFunctionCompleted(_)));
            seen.push(event);
            if is_end {
                break;
            }
        }
        anyhow::Ok(seen)
    };
    let counting = async {
        let arguments = [STEPS.to_string(), "50".to_owned()];
        let arguments = [arguments[0].as_str(), arguments[1].as_str()];
        let function = "test:updates/api.{count-slowly}";
        anyhow::Ok(client.wave(worker, function, &arguments, "counting").await?)
    };
    let killing = while_owner_dies(&mut cluster, worker, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(())
    });
    let (seen, counted, killed) = tokio::join!(tokio::time::timeout(PATIENCE, following), counting, async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        killing.await
    });
    killed?;
    ensure!(counted? == STEPS.to_string());
    let seen = seen.context("the end was never seen")??;
    let indexes: Vec<u64> = seen.iter().map(|event| event.index).collect();
    ensure!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "{indexes:?}");
    let lines = seen.iter().filter(|event| {
        let entry = event.entry.as_ref().and_then(|entry| entry.entry.as_ref());
        matches!(entry, Some(Entry::Log(_)))
    });
    ensure!(lines.count() as u64 == STEPS, "{seen:?}");
    cluster.finish()
}
