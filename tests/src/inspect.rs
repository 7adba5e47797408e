//! What must hold at the end: counters, oplogs, replicas.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kiln_proto::v1::{
    self, cluster_service_client::ClusterServiceClient, shard_service_client::ShardServiceClient,
    worker_service_client::WorkerServiceClient,
};

use crate::cluster::lazy_channel;
use crate::load::{Caller, History};
use crate::wait::eventually;

/// Every worker's counter equals its number of distinct keys.
///
/// # Errors
/// One does not, or cannot be read.
pub async fn check_counters(caller: &Caller, history: &History) -> Result<()> {
    for (worker, keys) in history {
        let count = caller
            .read(worker)
            .await
            .with_context(|| format!("read {worker}"))?;
        ensure!(
            count == keys.len() as u64,
            "{worker} counts {count} for {} keys",
            keys.len()
        );
    }
    Ok(())
}

/// Every worker's oplog goes from 1 to its end without a gap and begins with its creation; gives the entries seen.
///
/// # Errors
/// One does not, or cannot be read.
pub async fn check_oplogs(endpoint: &str, history: &History) -> Result<u64> {
    let mut client = WorkerServiceClient::new(lazy_channel(endpoint)?);
    let mut seen = 0;
    for worker in history.keys() {
        let reference = v1::WorkerRef {
            component: "counter".into(),
            worker: worker.clone(),
        };
        let (mut from, mut expected) = (1, 1);
        while from != 0 {
            let request = v1::GetOplogRequest {
                worker: Some(reference.clone()),
                from,
                ..v1::GetOplogRequest::default()
            };
            let page = client
                .get_oplog(request)
                .await
                .with_context(|| format!("oplog of {worker}"))?
                .into_inner();
            for entry in page.entries {
                ensure!(
                    entry.index == expected,
                    "{worker}: index {} follows {}",
                    entry.index,
                    expected - 1
                );
                expected += 1;
            }
            from = page.next;
        }
        ensure!(expected > 1, "{worker} has an oplog");
        seen += expected - 1;
    }
    Ok(seen)
}

/// All replicas of every shard have the same rows once they have applied the same log; gives the entries compared.
///
/// # Errors
/// They differ, or do not catch up in time.
pub async fn check_replicas(endpoint: &str, replication_factor: usize) -> Result<u64> {
    let mut cluster = ClusterServiceClient::new(lazy_channel(endpoint)?);
    let routes = cluster.get_routes(v1::GetRoutesRequest {}).await?.into_inner();
    let addresses: BTreeMap<u64, String> = routes
        .nodes
        .into_iter()
        .map(|node| (node.node_id, node.address))
        .collect();
    let mut entries = 0;
    for (shard, route) in (0..).zip(routes.shards) {
        ensure!(
            route.replicas.len() == replication_factor,
            "shard {shard} has {:?}",
            route.replicas
        );
        entries += compare(shard, &route.replicas, &addresses).await?;
    }
    Ok(entries)
}

async fn compare(shard: u32, replicas: &[u64], addresses: &BTreeMap<u64, String>) -> Result<u64> {
    eventually(
        &format!("the replicas of shard {shard} agree"),
        Duration::from_secs(20),
        async || {
            let mut sums = Vec::new();
            for node in replicas {
                let address = addresses
                    .get(node)
                    .with_context(|| format!("node {node} has an address"))?;
                let mut client = ShardServiceClient::new(lazy_channel(&format!("http://{address}"))?);
                sums.push(
                    client
                        .checksum_shard(v1::ChecksumShardRequest { shard })
                        .await?
                        .into_inner(),
                );
            }
            let applied: Vec<u64> = sums.iter().map(|sum| sum.applied_index).collect();
            ensure!(
                applied.windows(2).all(|pair| pair[0] == pair[1]),
                "applied up to {applied:?}"
            );
            ensure!(
                sums.windows(2).all(|pair| pair[0] == pair[1]),
                "at index {applied:?} they differ: {sums:?}"
            );
            Ok(sums.first().map(|sum| sum.entries))
        },
    )
    .await
}
