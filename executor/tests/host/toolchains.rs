//! Components as public toolchains and a published SDK make them: every function gives what it should, also after a crash
//! behind every entry. What needs a cluster is in `node/toolchains.rs`, keys and blobs are in `storage.rs`.

use kiln_executor::host::{CallError, TrapKind};

use crate::{
    crash::crash_everywhere_of,
    fixture::{Worker, call, ok, shared},
};

#[tokio::test]
async fn the_standard_library_survives_a_crash_behind_every_entry() {
    let calls: &[(&str, &[&str])] = &[("probe", &["\".\""]), ("sleep-ms", &["2"]), ("probe", &["\"/\""])];
    let results = crash_everywhere_of(shared("std-rust"), calls).await;
    let probed = r#"ok(["written", "probe.txt", "", "", "true", "1"])"#;
    assert_eq!(results, [probed, "", probed]);
}

#[tokio::test]
async fn a_panic_of_the_standard_library_is_told_in_each_life() {
    let worker = Worker::of(shared("std-rust")).await;
    for _ in 0..2 {
        let mut instance = worker.start().await;
        ok(&mut instance, "sleep-ms", &["0"]).await;
        let error = call(&mut instance, "boom", &[]).await.expect_err("a panic");
        let CallError::Trap { kind, stderr, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(kind, TrapKind::Other);
        assert!(stderr.contains("boom"), "{stderr}");
    }
}

#[tokio::test]
async fn a_worker_of_the_published_sdk_survives_a_crash_behind_every_entry() {
    let calls: &[(&str, &[&str])] = &[
        ("increment", &["5"]),
        ("key", &[]),
        ("atomic", &["3"]),
        ("whoami", &[]),
        ("key", &[]),
        ("increment", &["1"]),
    ];
    let results = crash_everywhere_of(shared("sdk-counter"), calls).await;
    assert_eq!([&results[0], &results[2], &results[5]], ["5", "8", "9"]);
    assert_eq!(results[3], "\"w1 v0 WorkerStatus::Running []\"");
    assert_ne!(results[1], results[4], "each key is another one");
    for key in [&results[1], &results[4]] {
        let key: Result<uuid::Uuid, _> = key.trim_matches('"').parse();
        assert!(key.is_ok(), "{key:?}");
    }
}

#[tokio::test]
async fn the_runtime_apis_of_each_toolchain_survive_a_crash_behind_every_entry() {
    for guest in ["runtime-apis-rust", "runtime-apis-ts", "runtime-apis-py"] {
        let calls: &[(&str, &[&str])] = &[
            ("key", &[]),
            ("self-metadata", &[]),
            ("durable", &["21"]),
            ("span", &["\"work\"", "\"color\"", "\"red\""]),
            ("search-oplog", &["\"double\""]),
            ("key", &[]),
        ];
        let results = crash_everywhere_of(shared(guest), calls).await;
        assert_ne!(results[0], results[5], "{guest}: each key is another one");
        let metadata = results[1].to_lowercase();
        assert!(
            metadata.starts_with("\"w1|") && metadata.contains("running|0|0||0|0"),
            "{guest}: {metadata}"
        );
        assert_eq!((results[2].as_str(), results[4].as_str()), ("42", "1"), "{guest}");
        assert!(results[3].ends_with("\"red\"]"), "{guest}: {}", results[3]);
    }
}
