//! Callers with idempotency keys, and what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kiln_client::{Address, Client, Error, Options};
use kiln_proto::ErrorCode;
use kiln_proto::v1::invoke_request::Arguments;
use kiln_proto::v1::value::Kind;
use kiln_proto::v1::{InvokeRequest, InvokeResponse, Value, ValueList, WorkerRef};

/// The function that the load calls.
pub const INCREMENT: &str = "test:counter/api.{increment}";
/// The function that reads a counter.
pub const GET: &str = "test:counter/api.{get}";

/// How long a caller under load waits: short enough that some calls stay open and have to be settled afterwards.
const LOAD_PATIENCE: Duration = Duration::from_millis(1500);

/// One client with connections and routes of its own.
#[derive(Debug, Clone)]
pub struct Caller(Client);

/// An answer to a call of the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The counter's value.
    pub value: u64,
    /// It was recorded by an earlier call with the same key.
    pub replayed: bool,
}

impl Caller {
    /// A client that gives a call up after `patience`. Every second one leaves it to the nodes to find the owner.
    ///
    /// # Errors
    /// One of the endpoints is no URL.
    pub fn new(endpoints: &[String], number: usize, patience: Duration) -> Result<Self> {
        let mut endpoints = Address::parse_list(&endpoints.join(","))?;
        let first = number % endpoints.len();
        endpoints.rotate_left(first);
        let mut options = Options::new(endpoints);
        options.direct = number.is_multiple_of(2);
        options.deadline = patience;
        options.first_contact = patience;
        Ok(Self(Client::new(options)?))
    }

    /// Calls `counter/WORKER` under `key`.
    ///
    /// # Errors
    /// What the cluster says; `UNAVAILABLE` or `DEADLINE_EXCEEDED` when patience ends before an answer.
    pub async fn call(
        &self,
        worker: &str,
        function: &str,
        arguments: Vec<Value>,
        key: &str,
    ) -> Result<Answer, Error> {
        let request = InvokeRequest {
            worker: Some(WorkerRef {
                component: "counter".into(),
                worker: worker.into(),
            }),
            function: function.into(),
            arguments: Some(Arguments::Typed(ValueList { values: arguments })),
            idempotency_key: key.into(),
            ..Default::default()
        };
        answer(self.0.invoke(request).await?)
    }

    /// Adds one under `key`.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn increment(&self, worker: &str, key: &str) -> Result<Answer, Error> {
        let one = Value {
            kind: Some(Kind::U64Value(1)),
        };
        self.call(worker, INCREMENT, vec![one], key).await
    }

    /// Reads a counter, under a key that is used once.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn read(&self, worker: &str) -> Result<u64, Error> {
        Ok(self.call(worker, GET, Vec::new(), "").await?.value)
    }
}

/// The way to the answer failed; the call may have been carried out or not.
fn is_open(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Unavailable | ErrorCode::DeadlineExceeded)
}

fn answer(response: InvokeResponse) -> Result<Answer, Error> {
    match response.result.and_then(|value| value.kind) {
        Some(Kind::U64Value(value)) => Ok(Answer {
            value,
            replayed: response.replayed,
        }),
        other => Err(Error::internal(format!(
            "the counter answered {other:?}, which is no u64"
        ))),
    }
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
    /// Starts `callers` clients that go round `workers`, each call under a key of its own.
    ///
    /// # Errors
    /// One of the endpoints is no URL.
    pub fn start(endpoints: &[String], callers: usize, workers: &[String]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Arc<[String]> = workers.into();
        let mut tasks = Vec::new();
        for number in 0..callers {
            let caller = Caller::new(endpoints, number, LOAD_PATIENCE)?;
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
    caller: Caller,
    number: usize,
    workers: Arc<[String]>,
) -> Result<History> {
    let mut history = History::new();
    for call in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Callers begin far from each other and go round, so that all workers are called, and by all of them.
        let worker = &workers[(5 * number + call) % workers.len()];
        let key = format!("caller-{number}-{call}");
        let value = match caller.increment(worker, &key).await {
            Ok(answer) => Some(answer.value),
            Err(error) if is_open(&error) => None,
            Err(error) => bail!("counter/{worker} {key}: {:?} {error}", error.code),
        };
        history.entry(worker.clone()).or_default().insert(key, value);
    }
    Ok(history)
}

/// Retries every key that has no answer yet until it has one; gives the number of keys that this took.
///
/// # Errors
/// A key stays without an answer.
pub async fn settle(caller: &Caller, history: &mut History) -> Result<usize> {
    let mut settled = 0;
    for (worker, keys) in history {
        for (key, value) in keys.iter_mut().filter(|(_, value)| value.is_none()) {
            let answer = caller.increment(worker, key).await;
            *value = Some(answer.with_context(|| format!("counter/{worker} {key}"))?.value);
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
