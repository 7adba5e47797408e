//! What a worker keeps over a crash, and how it ends: seen through the command, on one node.

use std::time::Duration;

use anyhow::Result;
use kiln_tests::up::Up;
use kiln_tests::wait::eventually;

const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_resources_and_observations_survive_a_crash() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &[]).await?;
    up.add("values").await?;
    up.add("effects").await?;
    let new = [
        "worker",
        "invoke",
        "values/v1",
        "test:values/api.{tally.new}",
        "10",
    ];
    let tally = up.kiln.json(&new).await?["wave"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(
        up.invoke("values/v1", "test:values/api.{tally.add}", &[&tally, "7"])
            .await?,
        17
    );
    for _ in 0..3 {
        up.invoke("effects/e1", "test:effects/api.{observe}", &[]).await?;
    }
    let observed = up
        .invoke("effects/e1", "test:effects/api.{observed}", &[])
        .await?;
    assert_eq!(observed.as_array().map(Vec::len), Some(3));
    up.kill()?;

    let up = Up::start(data.path(), &[]).await?;
    assert_eq!(
        up.invoke("values/v1", "test:values/api.{tally.value}", &[&tally])
            .await?,
        17
    );
    assert_eq!(
        up.invoke("effects/e1", "test:effects/api.{observed}", &[])
            .await?,
        observed
    );
    up.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_sees_its_own_arguments_and_environment() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &[]).await?;
    up.add("effects").await?;
    let create = [
        "worker",
        "create",
        "effects/e1",
        "--env",
        "GREETING=hello",
        "--",
        "one",
        "two",
    ];
    up.kiln.json(&create).await?;
    let arguments = up.invoke("effects/e1", "test:effects/api.{args}", &[]).await?;
    assert_eq!(arguments, serde_json::json!(["one", "two"]));
    let environment = up.invoke("effects/e1", "test:effects/api.{env}", &[]).await?;
    for pair in [
        ["GREETING", "hello"],
        ["GOLEM_WORKER_NAME", "e1"],
        ["GOLEM_COMPONENT_VERSION", "0"],
    ] {
        let pairs = environment.as_array().into_iter().flatten();
        assert!(
            pairs.into_iter().any(|seen| *seen == serde_json::json!(pair)),
            "{pair:?} in {environment}"
        );
    }
    up.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_stay_inside_their_worker() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &[]).await?;
    up.add("effects").await?;

    // (worker, function, argument, status afterwards)
    let endings: [(&str, &str, &[&str], &str); 3] = [
        (
            "effects/traps",
            "test:effects/api.{trap}",
            &["\"enough\""],
            "failed",
        ),
        ("effects/leaves", "test:effects/api.{exit}", &["3"], "exited"),
        ("effects/digs", "test:effects/api.{recurse}", &[], "failed"),
    ];
    for (worker, function, arguments, status) in endings {
        let command = [&["worker", "invoke", worker, function], arguments].concat();
        let (code, refusal) = up.kiln.refused(&command).await?;
        assert_eq!(
            (code, refusal.code.as_str()),
            (1, "worker-failed"),
            "{worker}: {}",
            refusal.message
        );
        let now = up.kiln.json(&["worker", "get", worker]).await?["status"].clone();
        assert_eq!(now, status, "{worker}");
        let again = ["worker", "invoke", worker, "test:effects/api.{random-u64}"];
        let (_, refusal) = up.kiln.refused(&again).await?;
        assert_eq!(
            refusal.code, "worker-failed",
            "{worker} stays {status}: {}",
            refusal.message
        );
    }

    let spin = [
        "worker",
        "invoke",
        "effects/spins",
        "test:effects/api.{spin}",
        "--no-wait",
    ];
    up.kiln.json(&spin).await?;
    let status = async |wanted: &str| {
        eventually(&format!("effects/spins is {wanted}"), PATIENCE, async || {
            let worker = up.kiln.json(&["worker", "get", "effects/spins"]).await?;
            Ok((worker["status"] == wanted).then_some(()))
        })
        .await
    };
    status("running").await?;
    let bystander = up
        .invoke("effects/bystander", "test:effects/api.{observe}", &[])
        .await?;
    assert_eq!(bystander, 1, "others are served while one worker spins");
    up.kiln.json(&["worker", "interrupt", "effects/spins"]).await?;
    status("interrupted").await?;
    up.stop().await
}
