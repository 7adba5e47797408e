//! G2, G5 after the loss of the owner at every point: for components that use each interface, the process that runs the worker
//! is killed (SIGKILL) behind every entry of a run in turn, and behind every commit. The run ends with the same visible result
//! and the same effects elsewhere, each once per key.

mod scenarios;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use kiln_proto::v1::{
    CreateWorkerRequest, InterruptWorkerRequest, KeyValue, RevertWorkerRequest, UpdateMode,
    UpdateWorkerRequest, revert_worker_request::Target, worker_service_client::WorkerServiceClient,
};
use kiln_tests::client::{PatientClient, reference};
use kiln_tests::cluster::{Cluster, Shape, lazy_channel};
use kiln_tests::crash_points::{CrashPoints, Moment};
use kiln_tests::guests;
use kiln_tests::server::Server;
use kiln_tests::wait::eventually;
use tokio::sync::Mutex;

use scenarios::{SCENARIOS, Scenario, Step};

/// Runs that are under way together. Most of the time each waits for a new owner.
const TOGETHER: usize = 4;
/// Runs whose entries come in another order may miss a point: how often another one is tried.
const TRIES: usize = 5;
/// How long a process that has come to a point may take to say so.
const HIT_WITHIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_killed_behind_every_entry() -> Result<()> {
    let began = Instant::now();
    let stage = Stage::set().await?;
    // All before the first kill, which would disturb others' workers as well.
    let undisturbed = try_join_all(SCENARIOS.iter().map(|scenario| stage.undisturbed(scenario))).await?;
    let runs = SCENARIOS.iter().zip(&undisturbed);
    let kills: Vec<(&str, usize, u64)> = stream::iter(runs)
        .map(|(scenario, (whole, entries))| stage.kill_everywhere(scenario, whole, *entries))
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
    token: [u8; 16],
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
            let component = scenario.component;
            cluster.add_component(component, &guests::path(component)).await?;
            if let Some(successor) = scenario.successor {
                cluster
                    .update_component(component, &guests::path(successor))
                    .await?;
            }
        }
        Ok(Self {
            endpoints: cluster.endpoints(),
            client: PatientClient::new(&cluster, PATIENCE)?,
            cluster: Mutex::new(cluster),
            points,
            server: Server::start().await?,
        })
    }

    /// A run without a kill, and the number of its entries.
    async fn undisturbed(&self, scenario: &Scenario) -> Result<(Run, u64)> {
        let component = scenario.component;
        let whole = self.run(scenario, format!("{component}-whole")).await?;
        let entries = self.length(scenario, &whole).await?;
        self.judge(scenario, &whole, &whole).await?;
        Ok((whole, entries))
    }

    /// A run for each entry and each commit of the undisturbed one. Gives the number of kills and of entries.
    async fn kill_everywhere(
        &self,
        scenario: &Scenario,
        whole: &Run,
        entries: u64,
    ) -> Result<(&'static str, usize, u64)> {
        let component = scenario.component;
        let mut kills = 0;
        for moment in [Moment::Append, Moment::Commit] {
            let mut next = 1;
            while next <= entries {
                let last = self.kill_at(scenario, whole, moment, next).await;
                let last = last.with_context(|| format!("{component}: {moment:?} {next} of {entries}"))?;
                let Some(last) = last else { break };
                // Those of an update may come together with the entry behind them.
                ensure!(
                    moment == Moment::Commit || last <= next + 2,
                    "{component}: entry {next} is {last}"
                );
                kills += 1;
                // All entries of one commit are lost or kept together.
                next = last + 1;
            }
        }
        Ok((component, kills, entries))
    }

    /// A run whose worker's process is killed at that point. Gives the last entry that was recorded then; none when runs are of
    /// different lengths, and those that were tried ended before it.
    async fn kill_at(
        &self,
        scenario: &Scenario,
        whole: &Run,
        moment: Moment,
        index: u64,
    ) -> Result<Option<u64>> {
        let mut shorter = 0;
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
                    // Its steps are done; what it stands at now came behind the last of them.
                    if self.points.unset(&worker) {
                        shorter += u32::from(self.length(scenario, &run).await? < index);
                        continue;
                    }
                    match tokio::time::timeout(HIT_WITHIN, &mut strike).await {
                        Ok(last) => (run, last?),
                        // Its process was killed for another worker before it could say where it stands.
                        Err(_) => continue,
                    }
                }
            };
            self.judge(scenario, whole, &run).await?;
            return Ok(Some(last));
        }
        ensure!(shorter > 0, "no run came to this point");
        Ok(None)
    }

    /// Number of entries.
    async fn length(&self, scenario: &Scenario, run: &Run) -> Result<u64> {
        let worker = format!("{}/{}", scenario.component, run.worker);
        Ok(self.client.worker(&worker).await?.oplog_index)
    }

    /// All steps, one after the other, and then the state that they left.
    async fn run(&self, scenario: &Scenario, worker: String) -> Result<Run> {
        let mut run = Run {
            worker,
            token: rand::random(),
            answers: Vec::new(),
            state: Vec::new(),
        };
        run.answers = self.steps(scenario, &run).await?;
        run.state = self.state(scenario, &run).await?;
        Ok(run)
    }

    async fn steps(&self, scenario: &Scenario, run: &Run) -> Result<Vec<String>> {
        let worker = format!("{}/{}", scenario.component, run.worker);
        let mut answers = Vec::new();
        for (number, step) in scenario.steps.iter().enumerate() {
            let answer = match step {
                Step::Call(..) => {
                    let key = format!("{}-{number}", run.worker);
                    self.call(scenario, step, run, &answers, &key).await
                }
                Step::Create => self.create(&worker).await,
                Step::Update(version) => self.update(&worker, *version, run.token(number)).await,
                Step::Revert(invocations) => self.revert(&worker, *invocations, run.token(number)).await,
            };
            answers.push(answer.with_context(|| format!("step {number} of {worker}"))?);
        }
        Ok(answers)
    }

    /// What was queued may still be under way.
    async fn state(&self, scenario: &Scenario, run: &Run) -> Result<Vec<String>> {
        let mut state = Vec::new();
        for call in scenario.state {
            let what = format!("the state of {}", run.worker);
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
        call: &Step,
        run: &Run,
        answers: &[String],
        key: &str,
    ) -> Result<String> {
        let Step::Call(callee, function, arguments, expected) = call else {
            anyhow::bail!("only calls show a state");
        };
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
            matches!(*expected, "=" | "*") || answer == *expected,
            "{worker} {function} gave {answer} instead of {expected}"
        );
        Ok(answer)
    }

    async fn create(&self, worker: &str) -> Result<String> {
        let pair = |key: &str, value: &str| KeyValue {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let request = CreateWorkerRequest {
            worker: Some(reference(worker)),
            args: vec!["x".to_owned(), "y".to_owned()],
            env: vec![pair("SIZE", "large")],
            config: vec![pair("colour", "teal")],
            version: Some(0),
            ignore_existing: true,
            parent: None,
        };
        self.client.0.create_worker(request).await?;
        Ok(String::new())
    }

    async fn update(&self, worker: &str, version: u64, token: Vec<u8>) -> Result<String> {
        let request = UpdateWorkerRequest {
            worker: Some(reference(worker)),
            version,
            mode: UpdateMode::Automatic.into(),
            token: token.into(),
        };
        self.client.0.update_worker(request).await?;
        Ok(String::new())
    }

    async fn revert(&self, worker: &str, invocations: u64, token: Vec<u8>) -> Result<String> {
        let request = RevertWorkerRequest {
            worker: Some(reference(worker)),
            target: Some(Target::LastInvocations(invocations)),
            token: token.into(),
        };
        self.client.0.revert_worker(request).await?;
        Ok(String::new())
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

    /// What is determined is as in the undisturbed run, the answers are recorded, the state is the same after another replay,
    /// each line is in the log once, and the server has seen each effect once.
    async fn judge(&self, scenario: &Scenario, whole: &Run, run: &Run) -> Result<()> {
        let name = &run.worker;
        let worker = format!("{}/{name}", scenario.component);
        run.compare(scenario, whole)?;
        self.drop_instance(&worker).await?;
        let state = self.state(scenario, run).await?;
        ensure!(state == run.state, "{name}: {state:?} was {:?}", run.state);
        let answers = self.steps(scenario, run).await?;
        ensure!(
            answers == run.answers,
            "{name}: {answers:?} were {:?}",
            run.answers
        );
        let log = self.client.log(&worker).await?;
        ensure!(log == scenario.log, "{name} has logged {log:?}");
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

impl Run {
    /// Names the request of a step, however often it is made.
    fn token(&self, number: usize) -> Vec<u8> {
        let number = number.to_be_bytes().into_iter().cycle();
        self.token
            .iter()
            .zip(number)
            .map(|(byte, other)| byte ^ other)
            .collect()
    }

    fn compare(&self, scenario: &Scenario, whole: &Self) -> Result<()> {
        let pairs = whole.answers.iter().zip(&self.answers);
        let steps = scenario.steps.iter().zip(pairs);
        let pairs = whole.state.iter().zip(&self.state);
        let state = scenario.state.iter().zip(pairs);
        for (step, (theirs, own)) in steps.chain(state) {
            let (theirs, own) = (whole.unnamed(theirs), self.unnamed(own));
            ensure!(
                matches!(step, Step::Call(.., "*")) || own == theirs,
                "{}: {own} instead of {theirs}",
                self.worker
            );
        }
        Ok(())
    }

    fn unnamed(&self, answer: &str) -> String {
        answer.replace(&self.worker, "{me}")
    }
}
