//! G1–G4: nothing acknowledged is lost and nothing counted twice while nodes die under load (F1).

use std::time::{Duration, Instant};

use anyhow::Result;
use kiln_tests::cluster::Cluster;
use kiln_tests::load::{Caller, Load, check_answers, settle};
use kiln_tests::{inspect, wait::eventually};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

const WORKERS: usize = 32;
const CALLERS: usize = 10;
const FAULTS_FOR: Duration = Duration::from_secs(20);

/// Who is killed next.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Owner,
    Follower,
    ManagerLeader,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_counts_once_while_nodes_are_killed() -> Result<()> {
    let mut cluster = Cluster::with_component("counter").await?;
    let endpoints = cluster.endpoints();
    let workers: Vec<String> = (0..WORKERS).map(|number| format!("w{number:02}")).collect();

    let load = Load::start(&endpoints, CALLERS, &workers)?;
    let kills = kill_and_restart(&mut cluster, &workers).await?;
    let mut history = load.stop().await?;
    cluster.ready().await?;

    let keys: usize = history.values().map(|keys| keys.len()).sum();
    assert_eq!(history.len(), WORKERS, "every worker was called");
    assert!(keys > 5 * WORKERS, "{keys} calls are no load");

    let caller = Caller::new(&endpoints, 0, Duration::from_secs(30))?;
    let settled = settle(&caller, &mut history).await?;
    eprintln!("{kills} kills, {keys} keys, {settled} of them settled afterwards");
    check_answers(&history)?;
    inspect::check_counters(&caller, &history).await?;
    let entries = inspect::check_oplogs(&endpoints[0], &history).await?;
    let compared = inspect::check_replicas(&endpoints[0], 3).await?;
    assert_eq!(compared, entries, "the replicas hold what the owners tell");
    cluster.finish()
}

/// Kills owners, followers and the leading manager in random order, and starts each again; gives the number of kills.
async fn kill_and_restart(cluster: &mut Cluster, workers: &[String]) -> Result<usize> {
    let (began, mut kills) = (Instant::now(), 0);
    while began.elapsed() < FAULTS_FOR {
        let mut round = [Victim::Owner, Victim::Follower, Victim::ManagerLeader];
        round.shuffle(&mut rand::rng());
        for victim in round {
            let position = find(cluster, victim, workers).await?;
            cluster.kill(position)?;
            kills += 1;
            // How long a node stays away is part of the fault.
            let away = rand::rng().random_range(200..1500);
            tokio::time::sleep(Duration::from_millis(away)).await;
            cluster.restart(position)?;
            cluster.ready().await?;
        }
    }
    Ok(kills)
}

async fn find(cluster: &Cluster, victim: Victim, workers: &[String]) -> Result<usize> {
    eventually("somebody knows the victim", Duration::from_secs(20), async || {
        if matches!(victim, Victim::ManagerLeader) {
            return cluster.manager_leader().await.map(Some);
        }
        let Some(worker) = workers.choose(&mut rand::rng()) else {
            return Ok(None);
        };
        let owner = cluster.owner_of("counter", worker).await?;
        let followers: Vec<usize> = cluster
            .executors()
            .filter(|position| *position != owner)
            .collect();
        let is_owner = matches!(victim, Victim::Owner);
        Ok(if is_owner {
            Some(owner)
        } else {
            followers.choose(&mut rand::rng()).copied()
        })
    })
    .await
}
