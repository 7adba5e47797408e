//! Brings the replicas on this node in line with the map.

use std::sync::Arc;

use kiln_proto::ids::{NodeId, ShardId};

use super::{Replica, Shards};
use crate::route::Map;

impl Shards {
    /// Starts replicas that are placed here, and removes those that have been moved away. Harmless to repeat.
    pub(crate) async fn reconcile(&self, map: &Map) {
        let Some(node) = self.node_id() else { return };
        for placement in map
            .wire
            .shards
            .iter()
            .filter(|placement| placement.replicas.contains(&node.0))
        {
            if let Err(error) = self.ensure(ShardId(placement.shard)).await {
                tracing::error!(shard = placement.shard, %error, "cannot start a replica");
            }
        }
        let replicas = self.replicas.load_full();
        for (id, replica) in replicas
            .iter()
            .filter(|(id, replica)| is_moved_away(map, **id, node, replica))
        {
            self.remove(*id, replica).await;
        }
    }

    async fn remove(&self, id: ShardId, replica: &Arc<Replica>) {
        let _turn = self.changing.lock().await;
        self.change(|replicas| replicas.remove(&id));
        replica.release();
        match replica.shard.group().destroy().await {
            Ok(()) => tracing::info!(shard = %id, "removed a replica that was moved away"),
            Err(error) => tracing::error!(shard = %id, %error, "cannot remove a replica that was moved away"),
        }
    }
}

/// Both must say so: the map, and the replica's own membership. Either alone may be behind.
fn is_moved_away(map: &Map, id: ShardId, node: NodeId, replica: &Replica) -> bool {
    let Some(placement) = map.placement(id) else {
        return false;
    };
    let group = replica.shard.group();
    placement.initialized
        && !placement.replicas.contains(&node.0)
        && group.is_initialized()
        && !group.voters().contains(&node)
        && !group.learners().contains(&node)
}
