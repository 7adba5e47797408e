use kiln_proto::v1::{self, WorkerStatus};

use crate::{
    node::{Node, reference},
    shared_guests::shared,
};

const GUESTS: [&str; 3] = ["runtime-apis-rust", "runtime-apis-ts", "runtime-apis-py"];

/// The functions that ask the cluster, as three public toolchains make them; each answer is the same after a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_of_all_toolchains_list_and_update_workers() {
    let node = Node::start().await;
    for guest in GUESTS {
        let bytes = shared(guest);
        node.upload_bytes(guest, &bytes, false).await.unwrap();
        let (one, other) = (format!("{guest}/one"), format!("{guest}/other"));
        node.wave(&other, "api.{durable}", &["3"]).await.unwrap();
        let mut answers = Vec::new();
        let calls: [(&str, &[&str]); 4] = [
            ("self-metadata", &[]),
            ("list-workers", &["false", "true"]),
            ("list-workers", &["true", "true"]),
            ("key", &[]),
        ];
        for (number, (function, arguments)) in calls.into_iter().enumerate() {
            let function = format!("api.{{{function}}}");
            let key = format!("{guest}-{number}");
            let answer = node.call(&one, &function, arguments, &key).await.unwrap();
            answers.push((function, arguments, key, answer.result.unwrap()));
        }
        let text = |number: usize| kiln_proto::convert::to_wave(&answers[number].3);
        let metadata = text(0).to_lowercase();
        assert!(
            metadata.starts_with("\"one|") && metadata.contains("running|0|0|"),
            "{metadata}"
        );
        let mut all: Vec<String> = text(1)
            .trim_matches(['[', ']'])
            .split(", ")
            .map(str::to_owned)
            .collect();
        all.sort();
        assert_eq!(all, ["\"one\"", "\"other\""], "{guest}");
        assert_eq!(text(2), "[\"other\"]", "{guest}: the caller itself runs");

        node.upload_bytes(guest, &bytes, true).await.unwrap();
        node.wave(&one, "api.{update}", &["\"other\"", "1"])
            .await
            .unwrap();
        let updated = async {
            while node.get(&other).await.unwrap().version != 1 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), updated)
            .await
            .expect("the other worker is updated");
        assert_eq!(node.get(&other).await.unwrap().successful_updates.len(), 1);

        // Replayed as a whole, in one life after another.
        for _ in 0..2 {
            node.interrupt(&one, true).await.unwrap();
            assert_eq!(node.wave(&one, "api.{durable}", &["21"]).await.unwrap(), "42");
        }
        for (function, arguments, key, answer) in &answers {
            let again = node.call(&one, function, arguments, key).await.unwrap();
            assert!(
                again.replayed && again.result.as_ref() == Some(answer),
                "{guest} {function}"
            );
        }
        assert_eq!(node.wave(&other, "api.{durable}", &["4"]).await.unwrap(), "8");
        assert_eq!(node.get(&one).await.unwrap().status(), WorkerStatus::Idle);
        assert_eq!(
            node.get(&other).await.unwrap().successful_updates.len(),
            1,
            "updated once"
        );
        let one = v1::DeleteWorkerRequest {
            worker: Some(reference(&one)),
        };
        node.workers.clone().delete_worker(one).await.unwrap();
    }
}
