//! G2, G5 after the loss of the owner at every point: for components that use each interface, the process that runs the worker
//! is killed (SIGKILL) behind every entry of a run in turn, and behind every commit. The run ends with the same visible result
//! and the same effects elsewhere, each once per key.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kiln_proto::v1::{InterruptWorkerRequest, worker_service_client::WorkerServiceClient};
use kiln_tests::client::{PatientClient, reference};
use kiln_tests::cluster::{Cluster, Shape, lazy_channel};
use kiln_tests::crash_points::{CrashPoints, Moment};
use kiln_tests::guests;
use kiln_tests::server::Server;
use kiln_tests::wait::eventually;
use tokio::sync::Mutex;

/// Runs that are under way together. Most of the time each waits for a new owner.
const TOGETHER: usize = 4;
/// Runs whose entries come in another order may miss a point: how often another one is tried.
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls of one worker. In arguments `{me}` is its name, `{server}` the server's address, and `{0}` what the first call gave.
struct Scenario {
    component: &'static str,
    calls: &'static [Call],
    /// What the run leaves behind, here and at the worker `{me}-peer`.
    state: &'static [Call],
    /// Effects at the server.
    effects: usize,
}

/// Who is called, the function, its arguments, and what it must give: exactly that, or anything (`*`).
type Call = (&'static str, &'static str, &'static [&'static str], &'static str);

const ME: &str = "{me}";
const PEER: &str = "{me}-peer";

/// The longest first, so that all end at about the same time.
const SCENARIOS: &[Scenario] = &[
    // Calls of another worker: awaited, queued, at the same time, later, and of its resources.
    Scenario {
        component: "rpc",
        calls: &[
            (ME, "call-add", &["\"{me}-peer\"", "1"], "ok(1)"),
            (ME, "add-everywhere", &["[\"{me}-peer\"]", "20"], "[ok(21)]"),
            (ME, "send-add", &["\"{me}-peer\"", "300"], "ok"),
            (ME, "schedule-add", &["\"{me}-peer\"", "1", "4000"], ""),
            (ME, "count-there", &["\"{me}-peer\"", "2"], "*"),
        ],
        state: &[(PEER, "value", &[], "4321"), (PEER, "tallies", &[], "0")],
        effects: 0,
    },
    // Clocks, randomness, environment, standard output, sleeping.
    Scenario {
        component: "effects",
        calls: &[
            (ME, "observe", &[], "1"),
            (ME, "env", &[], "*"),
            (ME, "print", &["\"line\""], ""),
            (ME, "sleep-ms", &["1"], ""),
            (ME, "observe", &[], "2"),
        ],
        state: &[(ME, "observed", &[], "*")],
        effects: 0,
    },
    // Atomic regions, zones without persistence, keys, jumps, promises.
    Scenario {
        component: "durable",
        calls: &[
            (ME, "make-promise", &[], "*"),
            (ME, "journey", &[], "*"),
            (ME, "until-even", &[], "*"),
            (ME, "complete", &["\"{me}\"", "{0}", "[1, 2]"], "true"),
            (ME, "await", &["\"{me}\"", "{0}"], "[1, 2]"),
            (ME, "count", &[], "1"),
        ],
        state: &[(ME, "poll", &["\"{me}\"", "{0}"], "some([1, 2])")],
        effects: 0,
    },
    Scenario {
        component: "files",
        calls: &[
            (ME, "write", &["\"a\"", "\"one\""], "ok"),
            (ME, "append", &["\"a\"", "\"two\""], "ok"),
            (ME, "remember", &["\"a\""], "*"),
            (ME, "rename", &["\"a\"", "\"b\""], "ok"),
        ],
        state: &[
            (ME, "read", &["\"b\""], "ok(\"onetwo\")"),
            (ME, "names", &["\".\""], "ok([\"b\"])"),
            (ME, "remembered", &[], "*"),
        ],
        effects: 0,
    },
    // Outgoing HTTP, a body in pieces, names, and a handler of incoming HTTP.
    Scenario {
        component: "outgoing",
        calls: &[
            (
                ME,
                "twice",
                &["\"http://{server}/echo?by={me}\""],
                "ok(\"0:one 1:two\")",
            ),
            (
                ME,
                "download",
                &["\"http://{server}/stream?by={me}\"", "100"],
                "ok(\"2:0;2:1;2:2;2:3;\")",
            ),
            (ME, "resolve", &["\"localhost\""], "*"),
            (
                ME,
                "golem:http/incoming-handler.{handle}",
                &["{method: \"GET\", uri: \"http://localhost/hello\", headers: [], body: some([7, 8, 9])}"],
                "*",
            ),
        ],
        state: &[],
        effects: 3,
    },
    Scenario {
        component: "storage",
        calls: &[
            (
                ME,
                "set-and-get",
                &["\"{me}\"", "\"k\"", "\"v\""],
                "ok(some(\"v\"))",
            ),
            (ME, "increment", &["\"{me}\"", "\"n\"", "5"], "ok(5)"),
            (ME, "put", &["\"{me}\"", "\"o\"", "10000", "3"], "ok"),
            (ME, "range", &["\"{me}\"", "\"o\"", "0", "1"], "*"),
        ],
        state: &[(ME, "increment", &["\"{me}\"", "\"n\"", "0"], "ok(5)")],
        effects: 0,
    },
    // Spans, the own oplog, and calls that the guest makes durable itself.
    Scenario {
        component: "apis",
        calls: &[
            (ME, "twice", &["21"], "42"),
            (ME, "span", &["\"inner\"", "\"7\""], "*"),
            (ME, "write", &["\"line\""], "\"second line\""),
            (ME, "search", &["\"\"", "\"begin-remote-write\""], "*"),
            (ME, "lazy", &["1"], "true"),
        ],
        state: &[(ME, "twice", &["4"], "8")],
        effects: 0,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_killed_behind_every_entry() -> Result<()> {
    let began = Instant::now();
    let stage = Stage::set().await?;
    let kills: Vec<(&str, usize, u64)> =
        stream::iter(SCENARIOS.iter().map(|scenario| stage.kill_everywhere(scenario)))
            .buffer_unordered(TOGETHER)
            .try_collect()
            .await?;
    for (component, kills, entries) in kills {
        eprintln!("{component}: {kills} kills over {entries} entries");
    }
    eprintln!("took {:?}", began.elapsed());
    stage.cluster.into_inner().finish()
}

/// What all runs share.
struct Stage {
    cluster: Mutex<Cluster>,
    client: PatientClient,
    endpoints: Vec<String>,
    points: CrashPoints,
    server: Server,
}

/// What one run gave.
struct Run {
    worker: String,
    answers: Vec<String>,
    state: Vec<String>,
}

impl Stage {
    async fn set() -> Result<Self> {
        let points = CrashPoints::new()?;
        let settings = [
            points.setting()?,
            ("KILN_EXECUTOR__EGRESS__ALLOW_ADDRESSES", "[\"127.0.0.0/8\"]"),
            // Most of the time goes by waiting for a new owner.
            ("KILN_RAFT__HEARTBEAT", "100ms"),
            ("KILN_RAFT__ELECTION_MIN", "400ms"),
            ("KILN_RAFT__ELECTION_MAX", "800ms"),
        ];
        let shape = Shape {
            managers: 1,
            shards: 4,
            ..Shape::default()
        };
        let cluster = Cluster::start_with(shape, &settings).await?;
        for scenario in SCENARIOS {
            cluster
                .add_component(scenario.component, &guests::path(scenario.component))
                .await?;
        }
        Ok(Self {
            endpoints: cluster.endpoints(),
            client: PatientClient::new(&cluster, PATIENCE)?,
            cluster: Mutex::new(cluster),
            points,
            server: Server::start().await?,
        })
    }

    /// An undisturbed run, then one for each entry and each commit of it. Gives the number of kills and of entries.
    async fn kill_everywhere(&self, scenario: &Scenario) -> Result<(&'static str, usize, u64)> {
        let component = scenario.component;
        let run = self.run(scenario, format!("{component}-whole")).await?;
        let entries = self
            .client
            .worker(&format!("{component}/{}", run.worker))
            .await?
            .oplog_index;
        self.judge(scenario, &run).await?;
        let mut kills = 0;
        for moment in [Moment::Append, Moment::Commit] {
            let mut next = 1;
            while next <= entries {
                let last = self.kill_at(scenario, moment, next).await;
                let last = last.with_context(|| format!("{component}: {moment:?} {next} of {entries}"))?;
                ensure!(moment == Moment::Commit || last == next, "entry {next} is {last}");
                kills += 1;
                // All entries of one commit are lost or kept together.
                next = last + 1;
            }
        }
        Ok((component, kills, entries))
    }

    /// A run whose worker's process is killed at that point. Gives the last entry that was recorded then.
    async fn kill_at(&self, scenario: &Scenario, moment: Moment, index: u64) -> Result<u64> {
        for attempt in 0..TRIES {
            let worker = format!("{}-{moment:?}-{index}-{attempt}", scenario.component).to_lowercase();
            self.points.set(&worker, moment, index)?;
            let strike = async {
                let hit = self.points.hit(&worker).await;
                self.cluster.lock().await.strike(hit.pid)?;
                anyhow::Ok(hit.last)
            };
            let run = self.run(scenario, worker.clone());
            tokio::pin!(strike, run);
            let (run, last) = tokio::select! {
                last = &mut strike => (run.await?, last?),
                run = &mut run => {
                    let run = run?;
                    // Its calls were answered; what it stands at now came behind the last of them.
                    if self.points.unset(&worker) {
                        continue;
                    }
                    (run, strike.await?)
                }
            };
            self.judge(scenario, &run).await?;
            return Ok(last);
        }
        anyhow::bail!("no run came to this point")
    }

    /// All calls, one after the other, and then the state that they left.
    async fn run(&self, scenario: &Scenario, worker: String) -> Result<Run> {
        let mut run = Run {
            worker,
            answers: Vec::new(),
            state: Vec::new(),
        };
        run.answers = self.calls(scenario, &run).await?;
        run.state = self.state(scenario, &run).await?;
        Ok(run)
    }

    async fn calls(&self, scenario: &Scenario, run: &Run) -> Result<Vec<String>> {
        let mut answers = Vec::new();
        for (number, call) in scenario.calls.iter().enumerate() {
            let key = format!("{}-{number}", run.worker);
            let answer = self.call(scenario, call, run, &answers, &key).await?;
            answers.push(answer);
        }
        Ok(answers)
    }

    /// What was queued may still be under way.
    async fn state(&self, scenario: &Scenario, run: &Run) -> Result<Vec<String>> {
        let mut state = Vec::new();
        for call in scenario.state {
            let what = format!("{}: {} is {}", run.worker, call.1, call.3);
            let read = async || {
                let answer = self.call(scenario, call, run, &run.answers, "").await;
                answer.map(Some)
            };
            state.push(eventually(&what, PATIENCE, read).await?);
        }
        Ok(state)
    }

    async fn call(
        &self,
        scenario: &Scenario,
        (callee, function, arguments, expected): &Call,
        run: &Run,
        answers: &[String],
        key: &str,
    ) -> Result<String> {
        let fill = |text: &str| {
            let text = text.replace("{me}", &run.worker);
            let text = text.replace("{server}", &self.server.address.to_string());
            let answers = answers.iter().enumerate();
            answers.fold(text, |text, (number, answer)| {
                text.replace(&format!("{{{number}}}"), answer)
            })
        };
        let worker = format!("{}/{}", scenario.component, fill(callee));
        let function = match function.contains('/') {
            true => (*function).to_owned(),
            false => format!("api.{{{function}}}"),
        };
        let arguments: Vec<String> = arguments.iter().map(|argument| fill(argument)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = self.client.wave(&worker, &function, &arguments, key).await;
        let answer = answer.with_context(|| format!("{worker} {function}"))?;
        ensure!(
            *expected == "*" || answer == *expected,
            "{worker} {function} gave {answer} instead of {expected}"
        );
        Ok(answer)
    }

    /// The worker is loaded anew, as after a crash of it alone.
    async fn drop_instance(&self, worker: &str) -> Result<()> {
        let request = InterruptWorkerRequest {
            worker: Some(reference(worker)),
            recover_immediately: true,
        };
        let mut endpoints = self.endpoints.iter().cycle();
        eventually("the worker is crashed", PATIENCE, async || {
            let endpoint = endpoints.next().context("a cluster has executors")?;
            let mut workers = WorkerServiceClient::new(lazy_channel(endpoint)?);
            workers.interrupt_worker(request.clone()).await?;
            Ok(Some(()))
        })
        .await
    }

    /// The answers are recorded, the state is the same after another replay, and the server has seen each effect once.
    async fn judge(&self, scenario: &Scenario, run: &Run) -> Result<()> {
        let name = &run.worker;
        self.drop_instance(&format!("{}/{name}", scenario.component))
            .await?;
        let state = self.state(scenario, run).await?;
        ensure!(state == run.state, "{name}: {state:?} was {:?}", run.state);
        let answers = self.calls(scenario, run).await?;
        ensure!(
            answers == run.answers,
            "{name}: {answers:?} were {:?}",
            run.answers
        );
        let effects = self.server.effects_of(name);
        ensure!(
            effects.len() == scenario.effects,
            "{name}: {} effects instead of {}: {effects:?}",
            effects.len(),
            scenario.effects
        );
        Ok(())
    }
}
