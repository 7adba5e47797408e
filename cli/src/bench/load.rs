use std::time::{Duration, Instant};

use anyhow::Context;
use futures::TryStreamExt;
use hdrhistogram::Histogram;
use kiln_client::{Client, Error};
use kiln_proto::v1::{InvokeRequest, WaveArguments, WorkerRef, invoke_request::Arguments};
use tokio::task::JoinSet;

/// Latencies up to this are told apart; longer ones count as this.
const LATENCY_MAX_US: u64 = 600_000_000;
/// Calls in flight while the workers are created.
const WARM_UP_CONCURRENCY: usize = 32;

/// What is called.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) component: String,
    pub(crate) function: String,
    /// WAVE texts.
    pub(crate) arguments: Vec<String>,
}

/// How much of it.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) target: Target,
    pub(crate) concurrency: u32,
    pub(crate) workers: u32,
    pub(crate) duration: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) elapsed: Duration,
    /// In microseconds, of the calls that succeeded.
    pub(crate) latencies: Histogram<u64>,
}

impl Load {
    /// Calls every worker once, so that all exist and are loaded.
    pub(crate) async fn warm_up(&self, client: &Client) -> anyhow::Result<()> {
        futures::stream::iter((0..self.workers).map(Ok))
            .try_for_each_concurrent(WARM_UP_CONCURRENCY, |worker| async move {
                client.invoke(self.target.request(worker)).await.map(drop)
            })
            .await
            .context("the first call of a worker failed")
    }

    /// Calls until the time is over. Each caller has its own workers, as far as there are enough.
    pub(crate) async fn run(&self, client: &Client) -> Measured {
        let started = Instant::now();
        let deadline = started + self.duration;
        let mut callers = JoinSet::new();
        for number in 0..self.concurrency {
            let caller = Caller {
                client: client.clone(),
                target: self.target.clone(),
                number,
                stride: self.concurrency,
                workers: self.workers,
            };
            callers.spawn(caller.run(deadline));
        }
        let mut total = Measured::new();
        while let Some(finished) = callers.join_next().await {
            if let Ok(measured) = finished {
                total.add(&measured);
            }
        }
        total.elapsed = started.elapsed();
        total
    }
}

impl Target {
    fn request(&self, worker: u32) -> InvokeRequest {
        let name = format!("bench-{worker}");
        let argument = |text: &String| text.replace("{worker}", &name);
        InvokeRequest {
            worker: Some(WorkerRef {
                component: self.component.clone(),
                worker: name.clone(),
            }),
            function: self.function.clone(),
            arguments: Some(Arguments::Wave(WaveArguments {
                values: self.arguments.iter().map(argument).collect(),
            })),
            ..InvokeRequest::default()
        }
    }
}

/// One call in flight at a time.
struct Caller {
    client: Client,
    target: Target,
    number: u32,
    stride: u32,
    workers: u32,
}

impl Caller {
    async fn run(self, deadline: Instant) -> Measured {
        let mut measured = Measured::new();
        let own = (self.number % self.workers..self.workers).step_by(self.stride as usize);
        for worker in own.cycle() {
            let began = Instant::now();
            if began >= deadline {
                break;
            }
            match self.client.invoke(self.target.request(worker)).await {
                Ok(_) => measured.succeeded(began.elapsed()),
                Err(error) => measured.failed(&error),
            }
        }
        measured
    }
}

impl Measured {
    fn new() -> Self {
        Self {
            requests: 0,
            errors: 0,
            first_error: None,
            elapsed: Duration::ZERO,
            latencies: Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are valid"),
        }
    }

    fn succeeded(&mut self, latency: Duration) {
        self.requests += 1;
        self.latencies
            .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    fn failed(&mut self, error: &Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
        self.latencies
            .add(&other.latencies)
            .expect("the bounds are the same");
    }
}
