use kiln_proto::{ErrorCode, v1};

use crate::managers::{Managers, refusal, until};

fn request(managers: &[String]) -> v1::BootstrapRequest {
    v1::BootstrapRequest {
        managers: managers.to_vec(),
        shards: 4,
        replication_factor: 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_founded_once() {
    let managers = Managers::start(3).await;
    let early = managers.client(1).get_map(v1::GetMapRequest {}).await;
    assert_eq!(refusal(early).0, ErrorCode::Unavailable, "before it is founded");

    let founded = managers
        .client(0)
        .bootstrap(request(&managers.addresses))
        .await
        .expect("founded")
        .into_inner();
    for index in 0..3 {
        let again = managers
            .client(index)
            .bootstrap(request(&managers.addresses))
            .await;
        let (code, message) = refusal(again);
        assert_eq!(code, ErrorCode::Conflict);
        assert!(message.contains(&founded.cluster_id), "{message}");
    }

    for index in 0..3 {
        let map = until(async || {
            let map = managers
                .client(index)
                .get_map(v1::GetMapRequest {})
                .await
                .expect("a map")
                .into_inner();
            map.nodes.iter().all(|node| node.pid != 0).then_some(map)
        });
        let map = map.await;
        assert_eq!(map.cluster_id, founded.cluster_id);
        assert_eq!(
            (map.shard_count, map.replication_factor, map.managers.len()),
            (4, 1, 3)
        );
        assert_eq!(map.nodes.iter().filter(|node| node.manager_leader).count(), 1);
        assert!(map.nodes.iter().all(|node| node.role() == v1::NodeRole::Manager));
        assert!(
            map.nodes
                .iter()
                .all(|node| node.status() == v1::NodeStatus::Alive)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_that_cannot_work_changes_nothing() {
    let managers = Managers::start(3).await;
    let [a, b, c] = managers.addresses.clone().try_into().expect("three");
    let nobody = "127.0.0.1:1".to_owned();
    for (list, code) in [
        (vec![a.clone(), b.clone()], ErrorCode::Invalid),
        (vec![a.clone(), b.clone(), b.clone()], ErrorCode::Invalid),
        (vec![b.clone()], ErrorCode::Invalid),
        (vec![a.clone(), b.clone(), nobody], ErrorCode::Unavailable),
    ] {
        assert_eq!(
            refusal(managers.client(0).bootstrap(request(&list)).await).0,
            code,
            "{list:?}"
        );
    }
    managers
        .client(0)
        .bootstrap(request(&[a, b, c]))
        .await
        .expect("founded after all");
}
