//! Founding a cluster: once, and only when asked to.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kiln_proto::{Error, hash::SHARDS_MAX, ids::NodeId, v1};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    follow::{identify, learn},
    inner::Inner,
    route::{Route, forwarded},
    state::{Change, Cluster, Found, Node, State, already_founded},
};

const SHARDS_DEFAULT: u32 = 16;
const REPLICATION_FACTOR_DEFAULT: u32 = 3;
const REPLICATION_FACTOR_MAX: u32 = 7;
const SECRET_BYTES: usize = 32;
/// The group starts in a task of its own.
const INITIALIZE_TIMEOUT: Duration = Duration::from_secs(5);
const INITIALIZE_POLL: Duration = Duration::from_millis(5);

/// Founds the cluster. It is founded when the managers' group has committed so; a bootstrap that was interrupted before
/// can be repeated, at any of the managers.
pub(crate) async fn bootstrap(
    inner: &Arc<Inner>,
    was_forwarded: bool,
    request: v1::BootstrapRequest,
) -> Result<v1::BootstrapResponse, Error> {
    if let Some(cluster) = &inner.view.state()?.cluster {
        return Err(already_founded(&cluster.cluster_id));
    }
    let request = completed(request)?;
    let managers = meet(inner, &request.managers).await?;
    for (node, address) in &managers {
        if *node != inner.store.node_id() {
            inner.store.peers().set(*node, address);
        }
    }
    let members: Vec<_> = managers.keys().copied().collect();
    initialize(inner, &members).await?;
    let founding = found(&request, &managers);
    let response = inner
        .at_leader(was_forwarded, |route| {
            let (inner, request, founding) = (Arc::clone(inner), request.clone(), founding.clone());
            Box::pin(async move {
                match route {
                    Route::Here(_) => commit(&inner, founding).await,
                    Route::There(mut client) => Ok(client.bootstrap(forwarded(request)).await?.into_inner()),
                }
            })
        })
        .await?;
    inner.store.join_cluster(&response.cluster_id).await?;
    Ok(response)
}

/// Gives the managers' group its members; they are the same ones when an earlier attempt has got that far.
async fn initialize(inner: &Inner, members: &[NodeId]) -> Result<(), Error> {
    inner.group.initialize(members).await?;
    let deadline = Instant::now() + INITIALIZE_TIMEOUT;
    while !inner.group.is_initialized() {
        if Instant::now() > deadline {
            return Err(Error::unavailable("the managers' group has not started in time")
                .with_hint("repeat the bootstrap"));
        }
        tokio::time::sleep(INITIALIZE_POLL).await;
    }
    let mut voters = inner.group.voters();
    voters.sort_unstable();
    if voters == members {
        Ok(())
    } else {
        Err(other_managers(&voters, members))
    }
}

async fn commit(inner: &Inner, founding: Found) -> Result<v1::BootstrapResponse, Error> {
    let cluster_id = founding.cluster.cluster_id.clone();
    match inner.commit(Change::Found(founding)).await {
        Ok(_) => {}
        // The answer to an earlier attempt of this very request was lost.
        Err(error)
            if inner
                .view
                .state()?
                .cluster
                .as_ref()
                .is_none_or(|cluster| cluster.cluster_id != cluster_id) =>
        {
            return Err(error);
        }
        Err(_) => {}
    }
    let state = inner.view.state()?;
    learn(inner, &State::default(), &state).await;
    tracing::info!(%cluster_id, "the cluster is founded");
    Ok(v1::BootstrapResponse { cluster_id })
}

/// The request with its defaults, if it can be met.
fn completed(mut request: v1::BootstrapRequest) -> Result<v1::BootstrapRequest, Error> {
    if request.shards == 0 {
        request.shards = SHARDS_DEFAULT;
    }
    if request.replication_factor == 0 {
        request.replication_factor = REPLICATION_FACTOR_DEFAULT;
    }
    if !matches!(request.managers.len(), 1 | 3 | 5) {
        let message = format!(
            "a cluster has 1, 3 or 5 shard managers, not {}",
            request.managers.len()
        );
        return Err(Error::invalid(message).with_hint("name the addresses of all of them"));
    }
    if !request.shards.is_power_of_two() || request.shards > SHARDS_MAX {
        let message = format!(
            "the number of shards is a power of two up to {SHARDS_MAX}, not {}",
            request.shards
        );
        return Err(Error::invalid(message));
    }
    if request.replication_factor > REPLICATION_FACTOR_MAX || request.replication_factor.is_multiple_of(2) {
        let message = format!(
            "the replication factor is odd and at most {REPLICATION_FACTOR_MAX}, not {}: an even one survives no more failures than the odd one below",
            request.replication_factor
        );
        return Err(Error::invalid(message));
    }
    Ok(request)
}

/// Asks every manager who it is.
async fn meet(inner: &Inner, addresses: &[String]) -> Result<BTreeMap<NodeId, String>, Error> {
    let mut managers = BTreeMap::new();
    for address in addresses {
        let there = identify(inner, address)
            .await
            .map_err(|error| absent(address, &error))?;
        let expected = inner.store.cluster_id().unwrap_or_default();
        if !there.cluster_id.is_empty() && there.cluster_id != expected {
            let message = format!(
                "the manager at {address} belongs to cluster {} already",
                there.cluster_id
            );
            return Err(Error::conflict(message)
                .with_hint("a cluster is founded once, by nodes with empty data folders"));
        }
        if let Some(other) = managers.insert(NodeId(there.node_id), address.clone()) {
            return Err(Error::invalid(format!(
                "{other} and {address} are the same node, {}",
                there.node_id
            )));
        }
    }
    if !managers.contains_key(&inner.store.node_id()) {
        let message = format!(
            "the manager that is asked, at {}, is not among {}",
            inner.options.address,
            addresses.join(", ")
        );
        return Err(
            Error::invalid(message).with_hint("name the addresses of all managers, this one included")
        );
    }
    Ok(managers)
}

fn absent(address: &str, error: &Error) -> Error {
    Error::unavailable(format!("the manager at {address} does not answer: {error}"))
        .with_hint("start all managers before the cluster is founded")
}

fn other_managers(there: &[NodeId], asked: &[NodeId]) -> Error {
    let list = |nodes: &[NodeId]| {
        nodes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    Error::conflict(format!(
        "an earlier bootstrap has begun with the managers {}, not {}",
        list(there),
        list(asked)
    ))
    .with_hint("repeat it with the same managers, or start again with empty data folders")
}

fn found(request: &v1::BootstrapRequest, managers: &BTreeMap<NodeId, String>) -> Found {
    let node = |(id, address): (&NodeId, &String)| Node {
        node_id: id.0,
        address: address.clone(),
        manager: true,
        ..Node::default()
    };
    Found {
        cluster: Cluster {
            cluster_id: Uuid::new_v4().to_string(),
            shard_count: request.shards,
            replication_factor: request.replication_factor,
            managers: managers.keys().map(|id| id.0).collect(),
            secret: rand::random::<[u8; SECRET_BYTES]>().to_vec().into(),
        },
        managers: managers.iter().map(node).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(managers: usize, shards: u32, replication_factor: u32) -> v1::BootstrapRequest {
        v1::BootstrapRequest {
            managers: vec!["a:1".into(); managers],
            shards,
            replication_factor,
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let completed = completed(request(3, 0, 0)).expect("valid");
        assert_eq!((completed.shards, completed.replication_factor), (16, 3));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (managers, shards, factor) in [
            (0, 16, 3),
            (2, 16, 3),
            (4, 16, 3),
            (7, 16, 3),
            (3, 12, 3),
            (3, 8192, 3),
            (3, 16, 2),
            (3, 16, 9),
        ] {
            let refused = completed(request(managers, shards, factor)).expect_err("impossible");
            assert_eq!(
                refused.code,
                kiln_proto::ErrorCode::Invalid,
                "{managers} {shards} {factor}"
            );
        }
    }
}
