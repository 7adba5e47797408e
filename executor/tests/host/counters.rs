use crate::fixture::{Worker, built, ok, shared};

/// The same component, made by other toolchains: they import nothing, or all of WASI in several versions.
async fn counts(bytes: Vec<u8>) {
    let worker = Worker::of(bytes).await;
    let mut instance = worker.start().await;
    for (by, expected) in [("5", "5"), ("3", "8")] {
        assert_eq!(
            ok(&mut instance, "test:counter/api@0.1.0.{increment}", &[by]).await,
            expected
        );
    }
    assert_eq!(ok(&mut instance, "get", &[]).await, "8");

    // A new instance runs the same calls against the oplog and ends in the same state.
    drop(instance);
    let mut instance = worker.start().await;
    for by in ["5", "3"] {
        ok(&mut instance, "increment", &[by]).await;
    }
    ok(&mut instance, "get", &[]).await;
    assert!(instance.journal().is_live());
    assert_eq!(ok(&mut instance, "increment", &["1"]).await, "9");
}

#[tokio::test]
async fn a_rust_component_counts() {
    counts(built("counter")).await;
}

#[tokio::test]
async fn a_c_component_counts() {
    counts(shared("counter-c")).await;
}

#[tokio::test]
async fn a_go_component_counts() {
    counts(shared("counter-go")).await;
}

#[tokio::test]
async fn a_rust_component_of_another_build_counts() {
    counts(shared("counter-rust")).await;
}

#[tokio::test]
async fn a_javascript_component_counts() {
    counts(shared("counter-js")).await;
}

#[tokio::test]
async fn a_python_component_counts() {
    counts(shared("counter-py")).await;
}
