use crate::fixture::{Worker, built, call, ok};

const URI: &str = "urn:worker:00000000-0000-0000-0000-000000000007/w1";

fn handle(id: u64) -> String {
    format!("\"{URI}/{id}\"")
}

#[tokio::test]
async fn resources_live_in_the_worker_and_are_numbered_alike_after_replay() {
    let worker = Worker::of(built("values")).await;
    for _ in 0..2 {
        let mut instance = worker.start().await;
        assert_eq!(ok(&mut instance, "api.{tally.new}", &["10"]).await, handle(0));
        assert_eq!(
            ok(&mut instance, "api.{[constructor]tally}", &["5"]).await,
            handle(1)
        );
        assert_eq!(
            ok(&mut instance, "api.{tally.add}", &[&handle(0), "7"]).await,
            "17"
        );
        assert_eq!(
            ok(&mut instance, "api.{[method]tally.value}", &[&handle(0)]).await,
            "17"
        );
        assert_eq!(ok(&mut instance, "peek", &[&handle(1)]).await, "5");
        assert_eq!(
            ok(&mut instance, "api.{tally.merge}", &[&handle(0), &handle(1)]).await,
            handle(2)
        );
        assert_eq!(ok(&mut instance, "api.{tally.value}", &[&handle(2)]).await, "22");
        let error = call(&mut instance, "peek", &[&handle(0)])
            .await
            .expect_err("merged away");
        assert_eq!(
            error.to_string(),
            "argument 1 (of): expected a handle of resource tally, found handle 0: resource not found"
        );
        assert_eq!(ok(&mut instance, "consume", &[&handle(2)]).await, "22");
        assert_eq!(ok(&mut instance, "api.{tally.new}", &["1"]).await, handle(3));
        assert_eq!(ok(&mut instance, "api.{tally.drop}", &[&handle(3)]).await, "");
        let error = call(&mut instance, "api.{[drop]tally}", &[&handle(3)])
            .await
            .expect_err("dropped");
        assert!(
            error.to_string().ends_with("found handle 3: resource not found"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_refused_call_takes_no_handle() {
    let worker = Worker::of(built("values")).await;
    let mut instance = worker.start().await;
    ok(&mut instance, "api.{tally.new}", &["10"]).await;
    for second in [
        handle(9),
        handle(0),
        "\"urn:worker:00000000-0000-0000-0000-000000000008/w1/0\"".to_owned(),
    ] {
        call(&mut instance, "api.{tally.merge}", &[&handle(0), &second])
            .await
            .expect_err("a bad handle");
    }
    assert_eq!(ok(&mut instance, "api.{tally.value}", &[&handle(0)]).await, "10");
}
