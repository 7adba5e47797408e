//! Callers with idempotency keys, and what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kiln_proto::v1::{self, value::Kind, worker_service_client::WorkerServiceClient};
use rand::seq::IndexedRandom;
use tonic::{Code, Request, Status, transport::Channel};

use crate::cluster::lazy_channel;

/// The function that the load calls.
pub const INCREMENT: &str = "test:counter/api.{increment}";
/// The function that reads a counter.
pub const GET: &str = "test:counter/api.{get}";

/// How long one attempt may take before another node is asked with the same key.
const ATTEMPT: Duration = Duration::from_secs(3);

/// One client: asks any of the nodes, and the next one with the same key when there is no answer.
#[derive(Debug, Clone)]
pub struct Caller {
    nodes: Vec<Channel>,
    next: usize,
}

/// An answer to a call of the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The counter's value.
    pub value: u64,
    /// It was recorded by an earlier call with the same key.
    pub replayed: bool,
}

impl Caller {
    /// A client of these nodes that begins with the one at `first`.
    ///
    /// # Errors
    /// One of the endpoints is no URL.
    pub fn new(endpoints: &[String], first: usize) -> Result<Self> {
        let nodes = endpoints
            .iter()
            .map(|endpoint| lazy_channel(endpoint))
            .collect::<Result<_>>()?;
        Ok(Self { nodes, next: first })
    }

    /// Calls `counter/WORKER`, again and again with the same key, until there is an answer.
    ///
    /// # Errors
    /// None came within `patience`, or one that no retry changes.
    pub async fn call(
        &mut self,
        worker: &str,
        function: &str,
        arguments: Vec<v1::Value>,
        key: &str,
        patience: Duration,
    ) -> Result<Answer> {
        let request = v1::InvokeRequest {
            worker: Some(v1::WorkerRef {
                component: "counter".into(),
                worker: worker.into(),
            }),
            function: function.into(),
            arguments: Some(v1::invoke_request::Arguments::Typed(v1::ValueList {
                values: arguments,
            })),
            idempotency_key: key.into(),
            ..Default::default()
        };
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let obstacle = match self.attempt(request.clone()).await {
                Ok(response) => return answer(response),
                Err(status) if is_transient(&status) => status,
                Err(status) => bail!("counter/{worker} {function} {key}: {status}"),
            };
            if tokio::time::Instant::now() >= deadline {
                bail!("counter/{worker} {function} {key}: no answer within {patience:?}: {obstacle}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Adds one under `key`.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn increment(&mut self, worker: &str, key: &str, patience: Duration) -> Result<Answer> {
        let one = v1::Value {
            kind: Some(Kind::U64Value(1)),
        };
        self.call(worker, INCREMENT, vec![one], key, patience).await
    }

    async fn attempt(&mut self, message: v1::InvokeRequest) -> Result<v1::InvokeResponse, Status> {
        self.next = (self.next + 1) % self.nodes.len();
        let mut request = Request::new(message);
        request.set_timeout(ATTEMPT);
        let mut client = WorkerServiceClient::new(self.nodes[self.next].clone());
        match tokio::time::timeout(ATTEMPT, client.invoke(request)).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer to this attempt")),
        }
    }
}

/// Failures of the way to the answer, as opposed to answers.
fn is_transient(status: &Status) -> bool {
    // A connection that breaks under a call shows as Unknown or Internal of the transport, without Kiln's own detail.
    let from_transport = status.metadata().get_bin(kiln_proto::error::TRAILER).is_none();
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted => true,
        Code::Unknown | Code::Internal => from_transport,
        _ => false,
    }
}

fn answer(response: v1::InvokeResponse) -> Result<Answer> {
    let value = response
        .result
        .and_then(|value| value.kind)
        .context("the counter answers with a value")?;
    let Kind::U64Value(value) = value else {
        bail!("the counter answers with a u64, not {value:?}")
    };
    Ok(Answer {
        value,
        replayed: response.replayed,
    })
}

/// What the callers know: by worker, the answer to each key; none where no answer came in time.
pub type History = BTreeMap<String, BTreeMap<String, Option<u64>>>;

/// Callers that increment until they are told to stop.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<Result<History>>>,
}

impl Load {
    /// Starts `callers` clients that pick among `workers` at random, each call under a key of its own.
    ///
    /// # Errors
    /// One of the endpoints is no URL.
    pub fn start(endpoints: &[String], callers: usize, workers: &[String]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Arc<[String]> = workers.into();
        let mut tasks = Vec::new();
        for number in 0..callers {
            let caller = Caller::new(endpoints, number)?;
            tasks.push(tokio::spawn(increment_until(
                stop.clone(),
                caller,
                number,
                workers.clone(),
            )));
        }
        Ok(Self { stop, callers: tasks })
    }

    /// Lets each caller finish the call that it is at, and gathers what they know.
    ///
    /// # Errors
    /// A caller was given an answer that no fault explains.
    pub async fn stop(self) -> Result<History> {
        self.stop.store(true, Ordering::Relaxed);
        let mut history = History::new();
        for caller in self.callers {
            for (worker, keys) in caller.await?? {
                history.entry(worker).or_default().extend(keys);
            }
        }
        Ok(history)
    }
}

async fn increment_until(
    stop: Arc<AtomicBool>,
    mut caller: Caller,
    number: usize,
    workers: Arc<[String]>,
) -> Result<History> {
    // Short enough that some calls are given up and have to be settled afterwards.
    let patience = Duration::from_millis(1500);
    let mut history = History::new();
    for call in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let worker = workers.choose(&mut rand::rng()).context("there are workers")?;
        let key = format!("caller-{number}-{call}");
        let answered = caller.increment(worker, &key, patience).await;
        if let Err(error) = &answered {
            ensure!(format!("{error:#}").contains("no answer within"), "{error:#}");
        }
        let value = answered.ok().map(|answer| answer.value);
        history.entry(worker.clone()).or_default().insert(key, value);
    }
    Ok(history)
}

/// Retries every key that has no answer yet until it has one; gives the number of keys that this took.
///
/// # Errors
/// A key stays without an answer.
pub async fn settle(caller: &mut Caller, history: &mut History) -> Result<usize> {
    let mut settled = 0;
    for (worker, keys) in history {
        for (key, value) in keys.iter_mut().filter(|(_, value)| value.is_none()) {
            *value = Some(
                caller
                    .increment(worker, key, Duration::from_secs(30))
                    .await?
                    .value,
            );
            settled += 1;
        }
    }
    Ok(settled)
}

/// Each key was counted once: a worker's answers are 1, 2, 3 … without a gap or a repetition.
///
/// # Errors
/// They are not.
pub fn check_answers(history: &History) -> Result<()> {
    for (worker, keys) in history {
        let answers: BTreeSet<u64> = keys.values().flatten().copied().collect();
        let expected: BTreeSet<u64> = (1..=keys.len() as u64).collect();
        let lost: Vec<&u64> = expected.difference(&answers).collect();
        let invented: Vec<&u64> = answers.difference(&expected).collect();
        ensure!(
            lost.is_empty() && invented.is_empty(),
            "{worker}: {lost:?} missing, {invented:?} too many"
        );
    }
    Ok(())
}
