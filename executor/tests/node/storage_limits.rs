//! Every bound of what applications store: a guest that meets it gets an error of the interface and goes on.

use kiln_executor::{Limits, host::StorageLimits};
use kiln_proto::v1::value::Kind;

use crate::node::Node;

struct Case {
    name: &'static str,
    bound: fn(&mut StorageLimits),
    /// What the guest's tour says of the call that goes beyond it.
    says: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "names",
        bound: |limits| limits.name_bytes_max = 4,
        says: r#"get-many Err("the name of a key has at most 4 bytes, not 7")"#,
    },
    Case {
        name: "values",
        bound: |limits| limits.value_bytes_max = 1000,
        says: r#"set Err("the value is too large: at most 1000 bytes")"#,
    },
    Case {
        name: "batches",
        bound: |limits| limits.batch_bytes_max = 50,
        says: r#"set-many Err("one call reads or writes at most 50 bytes of keys and values")"#,
    },
    Case {
        name: "lists",
        bound: |limits| limits.listed_keys_max = 10,
        says: r#"keys Err("the bucket has more than 10 keys, too many for one list")"#,
    },
    Case {
        name: "keys",
        bound: |limits| limits.keys_per_application = 10,
        says: r#"set-many Err("the application's quota of keys is used up")"#,
    },
    Case {
        name: "bytes of keys",
        bound: |limits| limits.key_bytes_per_application = 60,
        says: r#"set-many Err("the application's quota of keys is used up")"#,
    },
    Case {
        name: "sizes of objects",
        bound: |limits| limits.object_bytes_max = 1000,
        says: r#"write-data Err("the value is too large: at most 1000 bytes")"#,
    },
    Case {
        name: "objects",
        bound: |limits| limits.objects_per_application = 3,
        says: r#"write-data Err("the application's quota of objects or bytes is used up")"#,
    },
    Case {
        name: "bytes of objects",
        bound: |limits| limits.object_bytes_per_application = 2_000_000,
        says: r#"write-data Err("the application's quota of objects or bytes is used up")"#,
    },
];

async fn tour(node: &Node, name: &str) -> Vec<String> {
    let argument = format!("{name:?}");
    let reply = node.call("storage/w", "api.{tour}", &[&argument], "").await;
    let value = reply.unwrap_or_else(|error| panic!("the guest did not come to its end: {error}"));
    let Some(Kind::List(list)) = value.result.and_then(|value| value.kind) else {
        panic!("the tour gives a list")
    };
    let text = |kind| match kind {
        Some(Kind::StringValue(text)) => text,
        other => panic!("{other:?} is no text"),
    };
    list.values.into_iter().map(|value| text(value.kind)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bound_is_a_trap() {
    for case in CASES {
        let mut limits = Limits::default();
        (case.bound)(&mut limits.storage);
        let node = Node::start_with(limits).await;
        node.upload("storage").await;
        let lines = tour(&node, "t").await;
        assert!(
            lines.iter().any(|line| line == case.says),
            "{}: {}",
            case.name,
            lines.join("\n")
        );
        node.stop().await;
    }
}

/// A name that is too long for a bucket and for a container.
#[tokio::test(flavor = "multi_thread")]
async fn long_names_are_refused_by_both_interfaces() {
    let node = Node::start().await;
    node.upload("storage").await;
    let lines = tour(&node, &"n".repeat(2000)).await;
    for what in ["open-bucket", "create-container", "container-exists"] {
        let is_refused =
            |line: &String| line.starts_with(what) && line.contains("has at most 1024 bytes, not 2000");
        assert!(lines.iter().any(is_refused), "{what}: {}", lines.join("\n"));
    }
}

/// What adds nothing is possible when a quota is used up.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_keys_is_held_exactly_and_lets_keys_change() {
    let mut limits = Limits::default();
    limits.storage.keys_per_application = 20;
    let node = Node::start_with(limits).await;
    node.upload("storage").await;
    let set = async |key: u32| {
        let key = format!("\"k{key}\"");
        let arguments = ["\"b\"", key.as_str(), "\"v\""];
        node.wave("storage/w", "api.{set}", &arguments).await.unwrap()
    };
    for key in 0..20 {
        assert_eq!(set(key).await, "ok", "key {key}");
    }
    let used_up = "quota of keys is used up";
    let refused = set(20).await;
    assert!(refused.contains(used_up), "{refused}");
    assert_eq!(set(3).await, "ok");
    let sum = node
        .wave("storage/w", "api.{increment}", &["\"b\"", "\"n\"", "1"])
        .await
        .unwrap();
    assert!(sum.contains(used_up), "{sum}");
}
