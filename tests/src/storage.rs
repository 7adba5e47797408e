//! Workers of the storage guest, and what a history of a swapped number must look like.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kiln_client::{Address, Client, Options};
use kiln_proto::v1::invoke_request::Arguments;
use kiln_proto::v1::value::Kind;
use kiln_proto::v1::{InvokeRequest, Value, ValueList, WorkerRef};

/// Longer than any failover: every call has an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A caller of workers of the component `storage`.
#[derive(Debug, Clone)]
pub struct StorageCaller(Client);

impl StorageCaller {
    /// A client of these endpoints that begins with another one for each number.
    ///
    /// # Errors
    /// One of the endpoints is no URL.
    pub fn new(endpoints: &[String], number: usize) -> Result<Self> {
        let mut endpoints = Address::parse_list(&endpoints.join(","))?;
        let first = number % endpoints.len();
        endpoints.rotate_left(first);
        let mut options = Options::new(endpoints);
        options.deadline = PATIENCE;
        options.first_contact = PATIENCE;
        Ok(Self(Client::new(options)?))
    }

    /// The client itself.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0
    }

    /// Calls a function of a worker; what is in its `ok`.
    ///
    /// # Errors
    /// There is no answer, or it is an `err`.
    pub async fn call(
        &self,
        worker: &str,
        function: &str,
        arguments: Vec<Value>,
        key: &str,
    ) -> Result<Option<Kind>> {
        let request = InvokeRequest {
            worker: Some(WorkerRef {
                component: "storage".into(),
                worker: worker.into(),
            }),
            function: format!("test:storage/api.{{{function}}}"),
            arguments: Some(Arguments::Typed(ValueList { values: arguments })),
            idempotency_key: key.into(),
            ..Default::default()
        };
        let response = self.0.invoke(request).await?;
        match response.result.and_then(|value| value.kind) {
            Some(Kind::Result(result)) if !result.is_error => Ok(result.payload.and_then(|value| value.kind)),
            other => bail!("{function} of {worker} answered {other:?}"),
        }
    }

    /// Adds to a number.
    ///
    /// # Errors
    /// As [`StorageCaller::call`].
    pub async fn increment(&self, worker: &str, number: &str, key: &str) -> Result<u64> {
        let arguments = vec![text("numbers"), text(number), u64_value(1)];
        match self.call(worker, "increment", arguments, key).await? {
            Some(Kind::U64Value(sum)) => Ok(sum),
            other => bail!("increment answered {other:?}"),
        }
    }

    /// Swaps a number.
    ///
    /// # Errors
    /// As [`StorageCaller::call`].
    pub async fn swap(&self, worker: &str, number: &str, old: u64, new: u64) -> Result<bool> {
        let arguments = vec![text("numbers"), text(number), u64_value(old), u64_value(new)];
        match self.call(worker, "compare-and-swap", arguments, "").await? {
            Some(Kind::BoolValue(swapped)) => Ok(swapped),
            other => bail!("compare-and-swap answered {other:?}"),
        }
    }

    /// Reads a key.
    ///
    /// # Errors
    /// As [`StorageCaller::call`].
    pub async fn get(&self, worker: &str, bucket: &str, key: &str) -> Result<Option<String>> {
        let arguments = vec![text(bucket), text(key)];
        optional_text(self.call(worker, "get", arguments, "").await?)
    }

    /// Sets a key and reads it back in one call.
    ///
    /// # Errors
    /// As [`StorageCaller::call`].
    pub async fn set_and_get(
        &self,
        worker: &str,
        bucket: &str,
        key: &str,
        value: &str,
    ) -> Result<Option<String>> {
        let arguments = vec![text(bucket), text(key), text(value)];
        optional_text(self.call(worker, "set-and-get", arguments, "").await?)
    }
}

fn optional_text(kind: Option<Kind>) -> Result<Option<String>> {
    match kind {
        Some(Kind::Option(option)) => match option.value.and_then(|value| value.kind) {
            None => Ok(None),
            Some(Kind::StringValue(text)) => Ok(Some(text)),
            other => bail!("{other:?} is no text"),
        },
        other => bail!("{other:?} is no option"),
    }
}

/// A text argument.
#[must_use]
pub fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

/// A number as an argument.
#[must_use]
pub fn u64_value(number: u64) -> Value {
    Value {
        kind: Some(Kind::U64Value(number)),
    }
}

/// One compare-and-swap as its caller saw it. No two have the same `new`.
#[derive(Debug, Clone)]
pub struct Swap {
    /// What the caller expected.
    pub old: u64,
    /// What it wanted.
    pub new: u64,
    /// What it was told.
    pub swapped: bool,
    /// When it called.
    pub called: Instant,
    /// When it was told.
    pub answered: Instant,
}

/// Checks that one order of the swaps explains all answers, and keeps to the times at which they were made: the successes
/// are one chain from `first` to `last`, none before one that had ended before it began, and no swap failed while the
/// number was certainly the one that it expected.
///
/// # Errors
/// There is no such order.
pub fn check_swaps(first: u64, last: u64, swaps: &[Swap]) -> Result<()> {
    let mut successors: BTreeMap<u64, &Swap> = BTreeMap::new();
    for swap in swaps.iter().filter(|swap| swap.swapped) {
        if let Some(other) = successors.insert(swap.old, swap) {
            bail!("{} was swapped for {} and for {}", swap.old, other.new, swap.new);
        }
    }
    let mut chain: Vec<&Swap> = Vec::new();
    let mut value = first;
    while let Some(swap) = successors.get(&value) {
        value = swap.new;
        chain.push(swap);
    }
    ensure!(value == last, "the chain ends at {value}, the number is {last}");
    ensure!(
        chain.len() == successors.len(),
        "{} swaps are not in the chain",
        successors.len() - chain.len()
    );
    let mut latest_call: Option<&Swap> = None;
    for swap in &chain {
        if let Some(before) = latest_call {
            ensure!(
                swap.answered >= before.called,
                "the swap to {} had ended before the one to {}, which precedes it, began",
                swap.new,
                before.new
            );
        }
        if latest_call.is_none_or(|before| swap.called > before.called) {
            latest_call = Some(swap);
        }
    }
    check_failures(first, &chain, swaps)
}

fn check_failures(first: u64, chain: &[&Swap], swaps: &[Swap]) -> Result<()> {
    // From when until when the number was certainly this one.
    let mut certain: BTreeMap<u64, (Option<Instant>, Option<Instant>)> = BTreeMap::new();
    certain.entry(first).or_default();
    for swap in chain {
        certain.entry(swap.old).or_default().1 = Some(swap.called);
        certain.entry(swap.new).or_default().0 = Some(swap.answered);
    }
    for failed in swaps.iter().filter(|swap| !swap.swapped) {
        let Some((since, until)) = certain.get(&failed.old) else {
            continue;
        };
        let was_there = since.is_none_or(|since| since <= failed.called)
            && until.is_none_or(|until| failed.answered <= until);
        ensure!(
            !was_there,
            "a swap of {} failed while the number was {}",
            failed.old,
            failed.old
        );
    }
    Ok(())
}

/// The sums that increments were told: 1 to their number, each once.
///
/// # Errors
/// One is missing, or came twice.
pub fn check_sums(number: &str, mut sums: Vec<u64>) -> Result<()> {
    sums.sort_unstable();
    let expected: Vec<u64> = (1..=sums.len() as u64).collect();
    ensure!(sums == expected, "the sums of {number} are {sums:?}");
    Ok(())
}

/// Runs a task to its end.
///
/// # Errors
/// It failed or panicked.
pub async fn joined<T>(task: tokio::task::JoinHandle<Result<T>>) -> Result<T> {
    task.await.context("a caller panicked")?
}
