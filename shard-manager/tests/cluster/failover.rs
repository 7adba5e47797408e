use std::time::{Duration, Instant};

use kiln_proto::v1;

use crate::{
    managers::{Managers, until},
    registry::{component, fetch, put, registration},
};

/// How soon the others answer when the leading manager is gone.
const FAILOVER_MAX: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_without_the_leading_manager() {
    let mut managers = Managers::founded(3, 4, 1).await;
    let leader = managers.leader().await;
    let other = (leader + 1) % 3;
    let bytes = component(1, 1_200_000);
    put(&mut managers.client(leader), &bytes).await;
    managers
        .client(leader)
        .register_component(registration("a", false, &bytes))
        .await
        .expect("added");
    let before = managers
        .client(other)
        .get_map(v1::GetMapRequest {})
        .await
        .expect("a map")
        .into_inner();

    managers.kill(leader).await;
    let killed = Instant::now();
    let mut client = managers.client(other);
    client
        .register_component(registration("a", true, &bytes))
        .await
        .expect("updated without the old leader");
    assert!(killed.elapsed() < FAILOVER_MAX, "took {:?}", killed.elapsed());
    let after = client
        .get_map(v1::GetMapRequest {})
        .await
        .expect("a map")
        .into_inner();
    assert!(after.version > before.version);
    let dead = until(async || {
        let map = managers
            .client(other)
            .get_map(v1::GetMapRequest {})
            .await
            .expect("a map")
            .into_inner();
        map.nodes
            .into_iter()
            .find(|node| node.status() == v1::NodeStatus::Dead)
    });
    assert_eq!(dead.await.address, managers.addresses[leader]);

    managers.restart(leader).await;
    let found = until(async || {
        let request = v1::FindComponentRequest {
            component: "a".into(),
            version: None,
        };
        managers.client(leader).find_component(request).await.ok()
    });
    assert_eq!(found.await.into_inner().latest, 1);
    assert_eq!(fetch(&mut managers.client(leader), &bytes).await, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_still_there_after_all_were_killed() {
    let mut managers = Managers::founded(3, 4, 1).await;
    let bytes = component(1, 1000);
    put(&mut managers.client(0), &bytes).await;
    managers
        .client(0)
        .register_component(registration("a", false, &bytes))
        .await
        .expect("added");
    let before = managers
        .client(0)
        .get_map(v1::GetMapRequest {})
        .await
        .expect("a map")
        .into_inner();
    for index in 0..3 {
        managers.kill(index).await;
    }
    // They come back at other addresses, as `kiln up` does when it is given no ports.
    managers.addresses.fill(String::new());
    for index in 0..3 {
        managers.restart(index).await;
    }
    for index in 0..3 {
        let map = until(async || {
            let map = managers
                .client(index)
                .get_map(v1::GetMapRequest {})
                .await
                .ok()?
                .into_inner();
            let mut addresses = map.managers.clone();
            addresses.sort();
            let mut expected = managers.addresses.clone();
            expected.sort();
            (addresses == expected).then_some(map)
        });
        let map = map.await;
        assert_eq!(map.cluster_id, before.cluster_id);
        assert!(map.version > before.version);
        assert_eq!(fetch(&mut managers.client(index), &bytes).await, bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_the_answer_says_so() {
    let mut managers = Managers::founded(3, 4, 1).await;
    managers.kill(0).await;
    managers.kill(1).await;
    let request = v1::FindComponentRequest {
        component: "a".into(),
        version: None,
    };
    let error = kiln_proto::Error::from(
        managers
            .client(2)
            .find_component(request.clone())
            .await
            .expect_err("no majority"),
    );
    assert_eq!(error.code, kiln_proto::ErrorCode::Unavailable);
    managers.restart(0).await;
    let code = until(async || {
        let error = managers
            .client(2)
            .find_component(request.clone())
            .await
            .expect_err("no such component");
        let code = kiln_proto::Error::from(error).code;
        (code != kiln_proto::ErrorCode::Unavailable).then_some(code)
    });
    assert_eq!(
        code.await,
        kiln_proto::ErrorCode::NotFound,
        "it works again by itself"
    );
}
