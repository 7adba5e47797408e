//! G2, G5 across workers: a chain of calls over three shards, whose workers crash and whose owners are killed at random
//! points. Each hop runs once a call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kiln_proto::v1::{InterruptWorkerRequest, worker_service_client::WorkerServiceClient};
use kiln_tests::client::{PatientClient, reference};
use kiln_tests::cluster::{Cluster, lazy_channel};
use kiln_tests::wait::eventually;
use rand::Rng;
use rand::seq::IndexedRandom;

/// Workers of the chain, each on a shard of its own.
const HOPS: usize = 3;
/// Simulated crashes of a worker.
const CRASHES: usize = 100;
/// Owners that are killed; one after so many crashes.
const KILLS: usize = 10;
/// How long one call of the whole chain may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hop_of_a_chain_runs_once_through_crashes_and_kills() -> Result<()> {
    let mut cluster = Cluster::with_component("rpc").await?;
    let client = PatientClient::new(&cluster, PATIENCE)?;
    let chain = chain(&client).await?;
    let is_over = AtomicBool::new(false);
    let calls = async {
        let mut calls = 0;
        while !is_over.load(Ordering::Relaxed) {
            calls += 1;
            // One call at a time: each hop has counted exactly the calls so far.
            let answer = along(&client, &chain, &format!("call-{calls}")).await?;
            let numbers = vec![calls.to_string(); HOPS].join(", ");
            ensure!(answer == format!("ok([{numbers}])"), "call {calls}: {answer}");
        }
        Ok(calls)
    };
    let faults = async {
        let faults = strike(&mut cluster, &chain).await;
        is_over.store(true, Ordering::Relaxed);
        faults
    };
    let (calls, faults) = tokio::join!(calls, faults);
    faults?;
    let calls: usize = calls?;
    eprintln!("{calls} calls of {HOPS} hops through {CRASHES} crashes and {KILLS} kills");
    cluster.ready().await?;
    for worker in &chain {
        assert_eq!(value(&client, worker).await?, calls.to_string(), "{worker}");
    }
    cluster.finish()
}

/// Crashes workers of the chain, and now and then kills an owner of one.
async fn strike(cluster: &mut Cluster, chain: &[String]) -> Result<()> {
    for number in 1..=CRASHES {
        let pause = rand::rng().random_range(5..60);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let victim = chain.choose(&mut rand::rng()).context("a chain has workers")?;
        crash(cluster, victim).await?;
        if number % (CRASHES / KILLS) == 0 {
            let owner = eventually("the owner is known", PATIENCE, async || {
                cluster.owner_of("rpc", victim).await.map(Some)
            });
            let owner = owner.await?;
            cluster.kill(owner)?;
            let away = rand::rng().random_range(100..1000);
            tokio::time::sleep(Duration::from_millis(away)).await;
            cluster.restart(owner)?;
            cluster.ready().await?;
        }
    }
    Ok(())
}

/// Drops a worker's instance as a crash would.
async fn crash(cluster: &Cluster, worker: &str) -> Result<()> {
    let request = InterruptWorkerRequest {
        worker: Some(reference(&format!("rpc/{worker}"))),
        recover_immediately: true,
    };
    eventually("the worker is crashed", PATIENCE, async || {
        let endpoints = cluster.endpoints();
        let endpoint = endpoints
            .choose(&mut rand::rng())
            .context("a cluster has executors")?;
        let mut workers = WorkerServiceClient::new(lazy_channel(endpoint)?);
        workers.interrupt_worker(request.clone()).await?;
        Ok(Some(()))
    })
    .await
}

/// Workers on different shards.
async fn chain(client: &PatientClient) -> Result<Vec<String>> {
    let (mut chain, mut shards) = (Vec::new(), Vec::new());
    for number in 0.. {
        let worker = format!("hop-{number}");
        value(client, &worker).await?;
        let shard = client.worker(&format!("rpc/{worker}")).await?.shard;
        if !shards.contains(&shard) {
            shards.push(shard);
            chain.push(worker);
        }
        if chain.len() == HOPS {
            break;
        }
    }
    Ok(chain)
}

/// Calls the first of the chain, which calls the next, and so on.
async fn along(client: &PatientClient, chain: &[String], key: &str) -> Result<String> {
    let (first, rest) = chain.split_first().context("a chain has workers")?;
    let worker = format!("rpc/{first}");
    let arguments = [&*format!("{rest:?}"), "1"];
    Ok(client
        .wave(&worker, "test:rpc/api.{add-along}", &arguments, key)
        .await?)
}

/// How often a hop has run.
async fn value(client: &PatientClient, worker: &str) -> Result<String> {
    let worker = format!("rpc/{worker}");
    Ok(client.wave(&worker, "test:rpc/api.{value}", &[], "").await?)
}
