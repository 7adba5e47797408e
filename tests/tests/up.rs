//! `kiln up` as the README shows it: one node at once, three processes of which one is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kiln_tests::kiln::Kiln;
use kiln_tests::up::Up;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

async fn increment(up: &Up) -> Result<Value> {
    up.invoke("counter/c1", "test:counter/api.{increment}", &["5"])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_answers_soon_and_keeps_its_data() -> Result<()> {
    let data = tempfile::tempdir()?;
    let began = Instant::now();
    let up = Up::start(data.path(), &[]).await?;
    up.add("counter").await?;
    assert_eq!(increment(&up).await?, 5);
    let took = began.elapsed();
    eprintln!("the first answer took {took:?}");
    assert!(took < Duration::from_secs(5), "the first answer took {took:?}");
    up.stop().await?;

    let up = Up::start(data.path(), &[]).await?;
    assert_eq!(increment(&up).await?, 10);
    up.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_replicate_in_one_process() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--nodes", "3"]).await?;
    up.add("counter").await?;
    assert_eq!(increment(&up).await?, 5);
    let shards = up.kiln.json(&["cluster", "shards"]).await?;
    for shard in shards.as_array().context("cluster shards is a list")? {
        assert_eq!(shard["replicas"].as_array().map(Vec::len), Some(3), "{shard}");
    }
    up.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_owner_is_not_missed() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--nodes", "3", "--processes"]).await?;
    up.add("counter").await?;
    assert_eq!(increment(&up).await?, 5);

    let owner = owner_pid(&up.kiln).await?;
    kill(Pid::from_raw(owner), Signal::SIGKILL)?;
    let killed = Instant::now();
    assert_eq!(increment(&up).await?, 10);
    let took = killed.elapsed();
    eprintln!("answered {took:?} after the owner was killed");
    // Two seconds on an idle machine with a release build; a test shares its machine with compilers and other tests.
    assert!(
        took < Duration::from_secs(4),
        "answered only {took:?} after the owner was killed"
    );
    up.stop().await
}

/// The process that owns `counter/c1`, found the way the README says.
async fn owner_pid(kiln: &Kiln) -> Result<i32> {
    let worker = kiln.json(&["worker", "get", "counter/c1"]).await?;
    let shards = kiln.json(&["cluster", "shards"]).await?;
    let nodes = kiln.json(&["cluster", "nodes"]).await?;
    let find = |rows: &Value, field: &str, value: &Value| -> Result<Value> {
        let rows = rows.as_array().context("a list of rows")?;
        rows.iter()
            .find(|row| row[field] == *value)
            .cloned()
            .with_context(|| format!("no row with {field} {value}"))
    };
    let owner = find(&shards, "shard", &worker["shard"])?["owner"].clone();
    let pid = find(&nodes, "node", &owner)?["pid"]
        .as_i64()
        .context("a node has a pid")?;
    Ok(i32::try_from(pid)?)
}
