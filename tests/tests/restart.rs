//! G1, G2, G5 over the loss of one node and of all: what was answered stays, and is not done again.

use std::time::{Duration, Instant};

use anyhow::Result;
use kiln_tests::cluster::Cluster;
use kiln_tests::guests;
use kiln_tests::load::{Answer, Caller};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_key_gives_the_recorded_result() -> Result<()> {
    let mut cluster = Cluster::with_component("counter").await?;
    let caller = Caller::new(&cluster.endpoints(), 0, PATIENCE)?;
    assert_eq!(
        caller.increment("c1", "first").await?,
        Answer {
            value: 1,
            replayed: false
        }
    );
    assert_eq!(
        caller.increment("c1", "second").await?,
        Answer {
            value: 2,
            replayed: false
        }
    );
    let recorded = Answer {
        value: 1,
        replayed: true,
    };
    assert_eq!(caller.increment("c1", "first").await?, recorded);

    // After failover, and within the bound that the issue sets for it.
    let owner = cluster.owner_of("counter", "c1").await?;
    cluster.kill(owner)?;
    let killed = Instant::now();
    assert_eq!(caller.increment("c1", "first").await?, recorded);
    eprintln!("answered {:?} after the owner was killed", killed.elapsed());
    assert_eq!(caller.read("c1").await?, 2);
    cluster.restart(owner)?;
    cluster.ready().await?;

    // After a power failure.
    cluster.kill_all()?;
    cluster.start_all()?;
    cluster.ready().await?;
    assert_eq!(caller.increment("c1", "first").await?, recorded);
    assert_eq!(caller.read("c1").await?, 2);
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_all_nodes_were_killed() -> Result<()> {
    let mut cluster = Cluster::with_component("counter").await?;
    cluster.add_component("effects", &guests::path("effects")).await?;
    let caller = Caller::new(&cluster.endpoints(), 0, PATIENCE)?;
    for worker in 0..12 {
        for call in 0..=worker {
            caller
                .increment(&format!("c{worker}"), &format!("call-{call}"))
                .await?;
        }
    }
    let kiln = cluster.kiln(1)?;
    for _ in 0..3 {
        kiln.json(&["worker", "invoke", "effects/e1", "test:effects/api.{observe}"])
            .await?;
    }
    let observe = ["worker", "invoke", "effects/e1", "test:effects/api.{observed}"];
    let observed = kiln.json(&observe).await?["result"].clone();
    assert_eq!(observed.as_array().map(Vec::len), Some(3));

    cluster.kill_all()?;
    cluster.start_all()?;
    cluster.ready().await?;

    for worker in 0..12 {
        let name = format!("c{worker}");
        let count = caller.read(&name).await?;
        assert_eq!(count, worker + 1, "{name}");
    }
    let again = kiln.json(&observe).await?["result"].clone();
    assert_eq!(
        again, observed,
        "recorded randomness and time come back as they were"
    );
    let components = kiln.json(&["component", "list"]).await?;
    assert_eq!(components.as_array().map(Vec::len), Some(2), "{components}");
    let count = kiln.json(&["worker", "count", "counter", "--precise"]).await?;
    assert_eq!(count["count"], json!(12));
    cluster.finish()
}
