use std::{collections::BTreeSet, sync::Arc};

use kiln_proto::v1;
use tokio_stream::StreamExt;

use crate::{
    fake_executor::{FakeExecutor, World},
    managers::{Managers, until},
};

/// Waits for a map in which every shard is settled on these executors and led evenly.
async fn until_even(managers: &Managers, manager: usize, executors: &[u64]) -> v1::ClusterMap {
    until(async || {
        let map = managers
            .client(manager)
            .get_map(v1::GetMapRequest {})
            .await
            .ok()?
            .into_inner();
        let is_complete = map.shards.len() == map.shard_count as usize
            && map.shards.iter().all(|shard| {
                shard.initialized
                    && shard.replicas.len() == map.replication_factor as usize
                    && shard.replicas.iter().all(|node| executors.contains(node))
                    && shard.reported_owner == shard.preferred_owner
            });
        let owned = |node: u64| {
            map.nodes
                .iter()
                .find(|info| info.node_id == node)
                .map(|info| info.shards_owned)
        };
        let owned: BTreeSet<_> = executors.iter().map(|node| owned(*node)).collect::<Option<_>>()?;
        (is_complete && owned.last()? - owned.first()? <= 1).then_some(map)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_follow_the_executors() {
    let managers = Managers::founded(3, 8, 3).await;
    let world = World::default();
    let start = async |node| FakeExecutor::start(node, managers.addresses.clone(), Arc::clone(&world)).await;
    let (first, _second, _third) = (start(1).await, start(2).await, start(3).await);
    until_even(&managers, 0, &[1, 2, 3]).await;

    // A fourth one gets its share, step by step.
    let _fourth = start(4).await;
    until_even(&managers, 1, &[1, 2, 3, 4]).await;
    assert!(
        world
            .lock()
            .values()
            .all(|group| group.voters.len() == 3 && group.learners.is_empty())
    );

    // Silence is noticed, and after a while made up for.
    first.kill();
    let dead = until(async || {
        let map = managers
            .client(2)
            .get_map(v1::GetMapRequest {})
            .await
            .ok()?
            .into_inner();
        map.nodes
            .into_iter()
            .find(|node| node.node_id == 1 && node.status() == v1::NodeStatus::Dead)
    });
    assert_eq!(dead.await.shards_owned, 0, "who is dead owns nothing");
    elect_others(&world, 1);
    until_even(&managers, 2, &[2, 3, 4]).await;
    assert!(world.lock().values().all(|group| !group.voters.contains(&1)));
}

/// What Raft does when a leader dies.
fn elect_others(world: &World, dead: u64) {
    for group in world.lock().values_mut().filter(|group| group.leader == dead) {
        group.leader = group
            .voters
            .iter()
            .copied()
            .find(|node| *node != dead)
            .expect("others");
        group.term += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_is_watched_at_any_manager_and_stands_still_when_nothing_happens() {
    let mut managers = Managers::founded(3, 4, 1).await;
    let world = World::default();
    let _executor = FakeExecutor::start(1, managers.addresses.clone(), Arc::clone(&world)).await;
    let settled = until_even(&managers, 0, &[1]).await;
    let leader = managers.leader().await;
    let follower = (leader + 1) % 3;
    let request = v1::WatchMapRequest { known_version: 0 };
    let mut watch = managers
        .client(follower)
        .watch_map(request)
        .await
        .expect("a stream")
        .into_inner();
    let mut newest = watch.next().await.expect("a map").expect("a map");
    while newest.version < settled.version {
        newest = watch.next().await.expect("a map").expect("a map");
    }
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(700), watch.next()).await;
    assert!(
        quiet.is_err(),
        "reports without news give no new version: {quiet:?}"
    );

    // The stream outlives the leading manager, and the owners are known all along.
    managers.kill(leader).await;
    let next = watch.next().await.expect("a map").expect("a map");
    assert!(next.version > newest.version);
    assert!(
        next.shards.iter().all(|shard| shard.reported_owner == 1),
        "{:?}",
        next.shards
    );
}
