use kiln_proto::{
    ErrorCode,
    v1::{folder_entry::Kind, get_files_response::Found},
};

use crate::node::Node;

const WORDS: (&str, &str, bool) = ("/data/words.txt", "one two", false);
const NOTES: (&str, &str, bool) = ("/notes.txt", "mine", true);

async fn run(node: &Node, function: &str, arguments: &[&str]) -> String {
    let function = format!("api.{{{function}}}");
    node.wave("files/w", &function, arguments).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_have_the_files_of_their_component_and_operators_see_them() {
    let node = Node::start().await;
    node.upload_with_files("files", &[WORDS, NOTES]).await.unwrap();
    assert_eq!(
        run(&node, "read", &["\"/data/words.txt\""]).await,
        r#"ok("one two")"#
    );
    for (function, arguments) in [
        ("write", &["\"/data/words.txt\"", "\"x\""][..]),
        ("append", &["\"/data/words.txt\"", "\"x\""]),
        ("remove", &["\"/data/words.txt\""]),
        ("touch", &["\"/data/words.txt\""]),
        ("rename", &["\"/notes.txt\"", "\"/data/words.txt\""]),
        ("rename", &["\"/data/words.txt\"", "\"/other.txt\""]),
        ("link", &["\"/data/words.txt\"", "\"/other.txt\""]),
    ] {
        let refused = run(&node, function, arguments).await;
        assert!(refused.contains("not permitted"), "{function}: {refused}");
    }
    run(&node, "append", &["\"/notes.txt\"", "\" and more\""]).await;
    let other = node
        .wave("files/other", "api.{read}", &["\"/notes.txt\""])
        .await
        .unwrap();
    assert_eq!(other, r#"ok("mine")"#, "each worker has its own");

    let node = node.restart().await;
    let Found::File(bytes) = node.files("files/w", "notes.txt").await.unwrap() else {
        panic!("a file")
    };
    assert_eq!(&*bytes, b"mine and more");
    let Found::Folder(folder) = node.files("files/w", "/").await.unwrap() else {
        panic!("a folder")
    };
    let entries: Vec<_> = folder
        .entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.kind(), entry.size))
        .collect();
    assert_eq!(
        entries,
        [("data", Kind::Folder, 0), ("notes.txt", Kind::File, 13)]
    );
    for path in ["/missing", "/../../etc/passwd"] {
        assert_eq!(
            node.files("files/w", path).await.unwrap_err().code,
            ErrorCode::NotFound,
            "{path}"
        );
    }
    assert_eq!(
        node.files("files/none", "/").await.unwrap_err().code,
        ErrorCode::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_out_is_no_file_of_a_component() {
    let node = Node::start().await;
    for path in ["/../etc/cron.d/x", "relative", "/", "/a//b"] {
        let refused = node.upload_with_files("files", &[(path, "x", false)]).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::Invalid, "{path}");
    }
}
