//! G2, G5 across workers: a chain of calls over three shards, whose workers crash and whose owners are killed at random
//! points. Each hop runs once a call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kiln_client::{Address, Client, Options};
use kiln_proto::convert::to_wave;
use kiln_proto::v1::{
    InterruptWorkerRequest, InvokeRequest, WaveArguments, WorkerRef, invoke_request::Arguments,
    worker_service_client::WorkerServiceClient,
};
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
    let caller = Caller::new(&cluster)?;
    let chain = caller.chain().await?;
    let is_over = AtomicBool::new(false);
    let calls = async {
        let mut calls = 0;
        while !is_over.load(Ordering::Relaxed) {
            calls += 1;
            // One call at a time: each hop has counted exactly the calls so far.
            let answer = caller.along(&chain, &format!("call-{calls}")).await?;
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
        let value = caller.wave(worker, "value", &[], "").await?;
        assert_eq!(value, calls.to_string(), "{worker}");
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
        worker: Some(reference(worker)),
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

struct Caller(Client);

impl Caller {
    fn new(cluster: &Cluster) -> Result<Self> {
        let mut options = Options::new(Address::parse_list(&cluster.endpoints().join(","))?);
        options.deadline = PATIENCE;
        options.first_contact = PATIENCE;
        Ok(Self(Client::new(options)?))
    }

    /// Workers on different shards.
    async fn chain(&self) -> Result<Vec<String>> {
        let (mut chain, mut shards) = (Vec::new(), Vec::new());
        for number in 0.. {
            let worker = format!("hop-{number}");
            self.wave(&worker, "value", &[], "").await?;
            let found = self.0.get_worker(reference(&worker)).await?;
            if !shards.contains(&found.shard) {
                shards.push(found.shard);
                chain.push(worker);
            }
            if chain.len() == HOPS {
                break;
            }
        }
        Ok(chain)
    }

    /// Calls the first of the chain, which calls the next, and so on.
    async fn along(&self, chain: &[String], key: &str) -> Result<String> {
        let (first, rest) = chain.split_first().context("a chain has workers")?;
        self.wave(first, "add-along", &[&format!("{rest:?}"), "1"], key)
            .await
    }

    async fn wave(&self, worker: &str, function: &str, arguments: &[&str], key: &str) -> Result<String> {
        let values = arguments.iter().map(|text| (*text).to_owned()).collect();
        let request = InvokeRequest {
            worker: Some(reference(worker)),
            function: format!("test:rpc/api.{{{function}}}"),
            arguments: Some(Arguments::Wave(WaveArguments { values })),
            idempotency_key: key.into(),
            ..InvokeRequest::default()
        };
        let answer = self.0.invoke(request).await?;
        Ok(answer.result.as_ref().map(to_wave).unwrap_or_default())
    }
}

fn reference(worker: &str) -> WorkerRef {
    WorkerRef {
        component: "rpc".into(),
        worker: worker.into(),
    }
}
