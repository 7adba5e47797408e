use crate::fixture::{FOLDER_BYTES_MAX, FOLDER_FILES_MAX, Worker, built, ok};

/// Runs a function of the guest `files` whose result is an `err`, and gives its text.
async fn refused(instance: &mut kiln_executor::host::Instance, function: &str, arguments: &[&str]) -> String {
    let result = ok(instance, function, arguments).await;
    assert!(
        result.starts_with("err("),
        "{function}({arguments:?}) gave {result}"
    );
    result
}

#[tokio::test]
async fn files_and_their_times_are_the_same_after_replay() {
    let worker = Worker::of(built("files")).await;
    let mut remembered = Vec::new();
    for life in 0..2 {
        let mut instance = worker.start().await;
        ok(&mut instance, "write", &["\"/b.txt\"", "\"one\""]).await;
        ok(&mut instance, "write", &["\"a.txt\"", "\"two\""]).await;
        ok(&mut instance, "make-folder", &["\"/c\""]).await;
        ok(&mut instance, "append", &["\"/b.txt\"", "\" more\""]).await;
        for path in ["\"/b.txt\"", "\"a.txt\"", "\"/c\""] {
            ok(&mut instance, "remember", &[path]).await;
        }
        assert_eq!(
            ok(&mut instance, "names", &["\"/\""]).await,
            r#"ok(["a.txt", "b.txt", "c"])"#,
            "sorted"
        );
        assert_eq!(
            ok(&mut instance, "read", &["\"b.txt\""]).await,
            r#"ok("one more")"#
        );
        remembered.push(ok(&mut instance, "remembered", &[]).await);
        assert!(instance.journal().is_live(), "replay used all that is recorded");
        if life == 0 {
            continue;
        }
        // Not only the answers: the files themselves have the recorded times.
        ok(&mut instance, "remember", &["\"/b.txt\""]).await;
        let now = ok(&mut instance, "remembered", &[]).await;
        let times: Vec<&str> = now.split('(').filter_map(|pair| pair.split(',').next()).collect();
        assert_eq!(times[1], times[4], "{now}");
    }
    assert_eq!(remembered[0], remembered[1]);
}

#[tokio::test]
async fn a_worker_cannot_fill_the_disk() {
    let worker = Worker::of(built("files")).await;
    let mut instance = worker.start().await;
    let most = FOLDER_BYTES_MAX.to_string();
    let more = (FOLDER_BYTES_MAX + 1).to_string();
    let text = refused(&mut instance, "fill", &["\"/x\"", &more]).await;
    assert!(text.to_lowercase().contains("quota"), "{text}");
    assert_eq!(ok(&mut instance, "remove", &["\"/x\""]).await, "ok");
    assert_eq!(ok(&mut instance, "fill", &["\"/x\"", &most]).await, "ok");
    refused(&mut instance, "append", &["\"/x\"", "\"y\""]).await;
    // Written over: the room is the same.
    assert_eq!(ok(&mut instance, "fill", &["\"/x\"", &most]).await, "ok");
    assert_eq!(ok(&mut instance, "rename", &["\"/x\"", "\"/y\""]).await, "ok");
    assert_eq!(ok(&mut instance, "remove", &["\"/y\""]).await, "ok");
    // A file without a name takes room until it is closed.
    assert_eq!(ok(&mut instance, "hold", &["\"/h\"", &most]).await, "ok");
    refused(&mut instance, "write", &["\"/x\"", "\"y\""]).await;
    ok(&mut instance, "release", &[]).await;
    assert_eq!(ok(&mut instance, "write", &["\"/x\"", "\"y\""]).await, "ok");
    // `/x` is there and `/h` was opened once.
    for number in 1..FOLDER_FILES_MAX {
        let path = format!("\"/f{number}\"");
        assert_eq!(ok(&mut instance, "write", &[&path, "\"\""]).await, "ok");
    }
    refused(&mut instance, "write", &["\"/last\"", "\"\""]).await;
    refused(&mut instance, "make-folder", &["\"/last\""]).await;
    assert_eq!(ok(&mut instance, "rename", &["\"/f1\"", "\"/f2\""]).await, "ok");
    assert_eq!(ok(&mut instance, "write", &["\"/last\"", "\"\""]).await, "ok");
    refused(&mut instance, "symlink", &["\"f3\"", "\"/link\""]).await;
}

#[tokio::test]
async fn no_path_leads_out_of_the_folder() {
    let worker = Worker::of(built("files")).await;
    let mut instance = worker.start().await;
    for path in [
        "\"../etc/passwd\"",
        "\"/../etc/passwd\"",
        "\"a/../../etc/passwd\"",
        "\"/etc/passwd\"",
    ] {
        refused(&mut instance, "read", &[path]).await;
        refused(&mut instance, "write", &[path, "\"x\""]).await;
    }
    refused(&mut instance, "symlink", &["\"/etc\"", "\"/absolute\""]).await;
    ok(&mut instance, "make-folder", &["\"/d\""]).await;
    for (target, link) in [("\"../../../../../etc\"", "\"/up\""), ("\"..\"", "\"/d/parent\"")] {
        // Made or refused; what counts is where it leads.
        ok(&mut instance, "symlink", &[target, link]).await;
    }
    refused(&mut instance, "read", &["\"/up/passwd\""]).await;
    refused(&mut instance, "names", &["\"/up\""]).await;
    refused(&mut instance, "read", &["\"/d/parent/../etc/passwd\""]).await;
    refused(
        &mut instance,
        "link",
        &["\"../../../../../etc/passwd\"", "\"/hard\""],
    )
    .await;
    refused(&mut instance, "rename", &["\"/d\"", "\"../d\""]).await;
    assert!(!ok(&mut instance, "names", &["\"/d\""]).await.contains("passwd"));
}
