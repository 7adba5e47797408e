use std::time::Duration;

use anyhow::Context;
use kiln_client::{Client, Error, Options};
use kiln_proto::{ErrorCode, v1::BootstrapRequest};
use tokio::time::Instant;

use super::topology::Topology;

/// Longest time to found a cluster, and for its shards to find owners.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Founds the cluster where that has not happened, and returns when every shard has an owner.
pub(super) async fn wait(topology: &Topology, grpc: &str) -> anyhow::Result<()> {
    found(topology).await.context("found the cluster")?;
    let options = Options {
        deadline: READY_WITHIN,
        first_contact: READY_WITHIN,
        ..Options::new(vec![grpc.parse()?])
    };
    let client = Client::new(options)?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let status = client.cluster_status().await?;
        if status.shards > 0 && status.shards_with_owner == status.shards {
            return Ok(());
        }
        if Instant::now() > deadline {
            let problems = status.problems.join("; ");
            return Err(Error::unavailable(format!("not all shards have an owner: {problems}")).into());
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

async fn found(topology: &Topology) -> Result<(), Error> {
    let managers = topology.managers();
    let endpoints = managers
        .iter()
        .map(|address| address.parse())
        .collect::<Result<_, _>>()?;
    let options = Options {
        deadline: READY_WITHIN,
        first_contact: READY_WITHIN,
        ..Options::new(endpoints)
    };
    let request = BootstrapRequest {
        managers,
        shards: topology.shards,
        replication_factor: topology.replication_factor,
    };
    match Client::new(options)?.bootstrap(request).await {
        Ok(id) => tracing::info!(cluster = id, "founded"),
        Err(error) if error.code == ErrorCode::Conflict => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
