//! `kiln up` as the README shows it: one node at once, three processes of which one is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kiln_tests::kiln::Kiln;
use kiln_tests::server::Server;
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

    let owner = owner_pid(&up.kiln, "counter/c1").await?;
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

/// It belongs to the cluster like a node, although no node listens there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_is_closed_to_guests_before_and_after_their_owner_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("kiln.toml");
    std::fs::write(
        &config,
        "[executor.egress]\nallow_addresses = [\"127.0.0.0/8\"]\n",
    )?;
    let config = config.to_str().context("a path in UTF-8")?;
    let flags = ["--nodes", "3", "--processes", "--config", config];
    let up = Up::start(&folder.path().join("data"), &flags).await?;
    up.add("outgoing").await?;
    let server = Server::start().await?;
    let fetch = async |address: &str, path: &str| {
        let url = format!("\"http://{address}/{path}\"");
        let arguments = ["\"POST\"", &url, "[]", "none"];
        let answer = up
            .invoke("outgoing/g", "test:outgoing/api.{fetch}", &arguments)
            .await?;
        anyhow::Ok(answer.to_string())
    };
    let check = async || {
        let answer = fetch(&server.address.to_string(), "echo?by=guest").await?;
        assert!(answer.contains("\"status\":200"), "{answer}");
        for edge in [&up.grpc, &up.http] {
            let answer = fetch(edge, "healthz").await?;
            assert!(answer.contains("DestinationIpProhibited"), "{edge}: {answer}");
        }
        anyhow::Ok(())
    };
    check().await?;
    let owner = owner_pid(&up.kiln, "outgoing/g").await?;
    kill(Pid::from_raw(owner), Signal::SIGKILL)?;
    check().await?;
    up.stop().await
}

/// The process that owns a worker, found the way the README says.
async fn owner_pid(kiln: &Kiln, worker: &str) -> Result<i32> {
    let worker = kiln.json(&["worker", "get", worker]).await?;
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
