//! `kiln up` as the README shows it: one node at once, three processes of which one is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kiln_tests::guests;
use kiln_tests::kiln::{Kiln, binary};
use kiln_tests::wait::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const INCREMENT: [&str; 5] = [
    "worker",
    "invoke",
    "counter/c1",
    "test:counter/api.{increment}",
    "5",
];

/// A running `kiln up`, ended with SIGTERM as a service manager would.
struct Up {
    process: Child,
    kiln: Kiln,
}

impl Up {
    async fn start(data: &Path, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command
            .arg("up")
            .arg("--data")
            .arg(data)
            .args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let ready = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stdout).lines();
            lines.find(|line| line.as_ref().map_or(true, |line| line.starts_with("ready ")))
        });
        let ready = tokio::time::timeout(Duration::from_secs(60), ready)
            .await
            .context("kiln up is not ready")??;
        let ready = ready.context("kiln up ended before it was ready")??;
        let grpc = ready
            .split(' ')
            .find_map(|word| word.strip_prefix("grpc="))
            .context("ready names grpc")?;
        let kiln = Kiln::new(format!("http://{grpc}"))?;
        Ok(Self { process, kiln })
    }

    async fn add_counter(&self) -> Result<()> {
        let file = guests::path("counter");
        let file = file.to_str().context("a path in UTF-8")?;
        self.kiln.json(&["component", "add", "counter", file]).await?;
        Ok(())
    }

    async fn increment(&self) -> Result<Value> {
        Ok(self.kiln.json(&INCREMENT).await?["result"].clone())
    }

    async fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.process.id())?), Signal::SIGTERM)?;
        let status = eventually("kiln up ends on SIGTERM", Duration::from_secs(20), async || {
            Ok(self.process.try_wait()?)
        });
        let status = status.await?;
        ensure!(status.success(), "kiln up ended with {status}");
        Ok(())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Only after a failure: `stop` leaves a process that is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_answers_soon_and_keeps_its_data() -> Result<()> {
    let data = tempfile::tempdir()?;
    let began = Instant::now();
    let up = Up::start(data.path(), &[]).await?;
    up.add_counter().await?;
    assert_eq!(up.increment().await?, 5);
    let took = began.elapsed();
    eprintln!("the first answer took {took:?}");
    assert!(took < Duration::from_secs(5), "the first answer took {took:?}");
    up.stop().await?;

    let up = Up::start(data.path(), &[]).await?;
    assert_eq!(up.increment().await?, 10);
    up.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_replicate_in_one_process() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--nodes", "3"]).await?;
    up.add_counter().await?;
    assert_eq!(up.increment().await?, 5);
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
    up.add_counter().await?;
    assert_eq!(up.increment().await?, 5);

    let owner = owner_pid(&up.kiln).await?;
    kill(Pid::from_raw(owner), Signal::SIGKILL)?;
    let killed = Instant::now();
    assert_eq!(up.increment().await?, 10);
    let took = killed.elapsed();
    eprintln!("answered {took:?} after the owner was killed");
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
