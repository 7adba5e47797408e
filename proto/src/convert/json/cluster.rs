use serde_json::{Value as Json, json};

use crate::{
    ids::NodeId,
    v1::{ApplicationUsage, GetClusterStatusResponse, NodeInfo, NodeRole, NodeStatus, ShardInfo},
};

/// The id of a node as people see it: 16 hexadecimal digits, because JSON readers lose the low bits of such numbers.
/// Null for 0, which stands for nobody.
#[must_use]
pub fn node_id(id: u64) -> Json {
    if id == 0 {
        Json::Null
    } else {
        NodeId(id).to_string().into()
    }
}

/// A row of `cluster nodes`.
#[must_use]
pub fn node(info: &NodeInfo) -> Json {
    json!({
        "node": node_id(info.node_id),
        "name": info.name,
        "address": info.address,
        "role": role_name(info.role()),
        "status": status_name(info.status()),
        "shardsOwned": info.shards_owned,
        "replicas": info.replicas,
        "pid": info.pid,
        "managerLeader": info.manager_leader,
        "version": info.version,
    })
}

/// A row of `cluster shards`.
#[must_use]
pub fn shard(info: &ShardInfo) -> Json {
    json!({
        "shard": info.shard,
        "owner": node_id(info.owner),
        "epoch": info.epoch,
        "replicas": info.replicas.iter().copied().map(node_id).collect::<Vec<_>>(),
        "appliedIndex": info.applied_index,
    })
}

/// What `cluster status` says.
#[must_use]
pub fn status(response: &GetClusterStatusResponse) -> Json {
    json!({
        "clusterId": response.cluster_id,
        "version": response.version,
        "shards": response.shards,
        "shardsWithOwner": response.shards_with_owner,
        "replicationFactor": response.replication_factor,
        "managers": response.managers,
        "managerLeader": node_id(response.manager_leader),
        "executors": response.executors,
        "executorsAlive": response.executors_alive,
        "mapVersion": response.map_version,
        "storage": response.storage.iter().map(usage).collect::<Vec<_>>(),
        "problems": response.problems,
    })
}

/// What an application has stored.
fn usage(usage: &ApplicationUsage) -> Json {
    json!({
        "application": usage.application,
        "keys": usage.keys,
        "keyBytes": usage.key_bytes,
        "containers": usage.containers,
        "objects": usage.objects,
        "objectBytes": usage.object_bytes,
    })
}

fn role_name(role: NodeRole) -> &'static str {
    match role {
        NodeRole::RoleUnspecified => "unknown",
        NodeRole::Manager => "manager",
        NodeRole::Executor => "executor",
        NodeRole::All => "all",
    }
}

fn status_name(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::StatusUnspecified => "unknown",
        NodeStatus::Alive => "alive",
        NodeStatus::Dead => "dead",
        NodeStatus::Draining => "draining",
    }
}
