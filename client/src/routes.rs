//! The cached map of who owns which shard, and which component has which id.

use std::{collections::HashMap, sync::Arc, time::Instant};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use kiln_proto::{
    hash::shard_of,
    ids::{ComponentId, WorkerId},
    v1::{GetRoutesResponse, WorkerRef},
};

use crate::Address;

/// What the client knows of the cluster. It may be out of date: it only saves a hop.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    map: ArcSwapOption<Map>,
    components: DashMap<String, ComponentId>,
}

/// Most component names remembered; all are forgotten when there are more.
const COMPONENTS_MAX: usize = 10_000;

#[derive(Debug)]
struct Map {
    /// The owner's address of each shard, where known.
    owners: Vec<Option<Address>>,
    fetched_at: Instant,
}

impl Routes {
    /// Where the worker's owner listens, as far as known.
    pub(crate) fn owner(&self, worker: &WorkerRef) -> Option<Address> {
        let map = self.map.load();
        let map = map.as_ref()?;
        let id = WorkerId {
            component: self.component(&worker.component)?,
            name: worker.worker.parse().ok()?,
        };
        let count = u32::try_from(map.owners.len()).ok()?;
        let shard = shard_of(&id, count);
        map.owners.get(usize::try_from(shard.0).ok()?)?.clone()
    }

    /// The id of a component given by name or by UUID.
    pub(crate) fn component(&self, reference: &str) -> Option<ComponentId> {
        match reference.parse() {
            Ok(id) => Some(id),
            Err(_) => self.components.get(reference).map(|id| *id),
        }
    }

    pub(crate) fn learn_component(&self, name: &str, id: ComponentId) {
        if self.components.len() >= COMPONENTS_MAX {
            self.components.clear();
        }
        self.components.insert(name.to_owned(), id);
    }

    /// When the map was fetched last.
    pub(crate) fn fetched_at(&self) -> Option<Instant> {
        self.map.load().as_ref().map(|map| map.fetched_at)
    }

    /// Takes a new map over; one that is not a power of two long is ignored.
    pub(crate) fn learn(&self, response: &GetRoutesResponse) {
        if !response.shards.len().is_power_of_two() {
            return;
        }
        let addresses: HashMap<u64, Address> = response
            .nodes
            .iter()
            .filter_map(|node| Some((node.node_id, node.address.parse().ok()?)))
            .collect();
        let owners = response
            .shards
            .iter()
            .map(|shard| addresses.get(&shard.owner).cloned())
            .collect();
        self.map.store(Some(Arc::new(Map {
            owners,
            fetched_at: Instant::now(),
        })));
    }
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1::{NodeAddress, ShardRoute};

    use super::*;

    #[test]
    fn the_owner_of_a_known_component_is_found() {
        let routes = Routes::default();
        let worker = WorkerRef {
            component: "counter".into(),
            worker: "c1".into(),
        };
        assert_eq!(routes.owner(&worker), None);
        routes.learn(&GetRoutesResponse {
            map_version: 1,
            shards: vec![
                ShardRoute {
                    replicas: vec![7],
                    owner: 7
                };
                4
            ],
            nodes: vec![NodeAddress {
                node_id: 7,
                address: "a:1".into(),
            }],
        });
        assert_eq!(routes.owner(&worker), None, "the component is not known yet");
        routes.learn_component("counter", ComponentId(uuid::Uuid::from_u128(3)));
        assert_eq!(routes.owner(&worker), "a:1".parse().ok());
    }
}
