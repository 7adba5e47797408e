//! Oplogs as operators and other workers see them.

use kiln_proto::ErrorCode;

use crate::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn queries_find_entries_page_by_page() {
    let node = Node::start().await;
    node.upload("apis").await;
    for input in ["1", "2", "3"] {
        node.wave("apis/w", "twice", &[input]).await.unwrap();
    }
    // Per call: pending, invoked, the guest's own call, completed.
    let cases: [(&str, &[u64]); 6] = [
        ("test::apis::twice", &[4, 8, 12]),
        ("imported-function AND 4", &[8]),
        ("exported-function twice NOT pending", &[3, 7, 11]),
        ("function-name:/twice$/", &[4, 8, 12]),
        ("create", &[1]),
        ("no-such-thing", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(
            node.search("apis/w", query, 2).await.unwrap(),
            expected,
            "{query}"
        );
    }
    let error = node.search("apis/w", "a AND", 2).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(error.message.contains("at byte 5"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reads_the_oplog_of_another() {
    let node = Node::start().await;
    node.upload("apis").await;
    node.wave("apis/w", "twice", &["1"]).await.unwrap();
    let read = node.wave("apis/reader", "read", &["\"w\"", "1"]).await.unwrap();
    assert!(
        read.starts_with("[\"create w\", \"pending-invocation\", \"invoked "),
        "{read}"
    );
    assert!(
        read.contains("test::apis::twice") && read.ends_with("\"completed true\"]"),
        "{read}"
    );
    let found = node
        .wave(
            "apis/reader",
            "search",
            &["\"w\"", "\"twice AND imported-function\""],
        )
        .await;
    assert_eq!(found.unwrap(), "[(4, \"test::apis::twice\")]");
    let nobody = node.wave("apis/reader", "read", &["\"nobody\"", "1"]).await;
    assert_eq!(nobody.unwrap(), "[]");

    // The other one goes on; a crash of the reader changes nothing of what it has read.
    node.wave("apis/w", "twice", &["2"]).await.unwrap();
    node.interrupt("apis/reader", true).await.unwrap();
    assert_eq!(node.wave("apis/reader", "effects", &[]).await.unwrap(), "0");
}
