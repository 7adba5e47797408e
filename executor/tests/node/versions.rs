//! Components that were built against older versions of the runtime's interfaces run as they are.

use crate::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn each_version_in_the_field_works_live_and_after_a_crash() {
    let special = [
        ("api-oldest", "pong of 0.2.0", "\"7 1000 2000 1.5\"", "[\"ping\"]"),
        (
            "api-older",
            "pong of 1.1.0",
            "\"7 1.5 Some(0.25)\"",
            "[\"recorded\", \"create w , pending, test:versions/api@0.1.0.{me}\", \"test::older::own\"]",
        ),
        (
            "api-old",
            "pong of 1.1.6",
            "\"7 1.5 None\"",
            "[\"traceparent\", \"w\", \"completed true\"]",
        ),
    ];
    for (guest, pong, policy, special) in special {
        let node = Node::start().await;
        node.upload(guest).await;
        let worker = format!("{guest}/w");
        let expected = [
            ("me", vec![], "\"w WorkerStatus::Running 0\"".to_owned()),
            ("policy", vec![], policy.to_owned()),
            ("promise", vec![], "[107, 101, 112, 116]".to_owned()),
            ("peer", vec!["\"other\""], format!("\"{pong}\"")),
            ("workers", vec!["\"the\""], "[\"other\"]".to_owned()),
            ("special", vec![], special.to_owned()),
        ];
        for (function, arguments, expected) in &expected {
            let answer = node.wave(&worker, function, arguments).await;
            assert_eq!(answer.unwrap(), *expected, "{guest} {function}");
        }
        let length = node.get(&worker).await.unwrap().oplog_index;
        // All of it is replayed, and nothing of it made again.
        node.interrupt(&worker, true).await.unwrap();
        let node = node.restart().await;
        assert_eq!(node.get(&worker).await.unwrap().oplog_index, length, "{guest}");
        for (function, arguments, expected) in expected {
            let answer = node.wave(&worker, function, &arguments).await;
            assert_eq!(answer.unwrap(), expected, "{guest} {function} after a crash");
        }
    }
}
