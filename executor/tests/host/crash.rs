//! A crash at every point of a worker's life: whatever it gave before is the same after, and it comes to its end.

use std::sync::Arc;

use kiln_executor::{
    host::{CallError, Instance},
    journal::{MemoryOplog, Regions},
    replay::kind_name,
};
use kiln_proto::{ids::OplogIndex, v1::oplog_entry::Entry};

use crate::fixture::{Worker, built, call};

/// Runs calls to the end, loading the worker again whenever it goes back in its oplog.
pub(crate) async fn run(worker: &Worker, calls: &[(&str, &[&str])]) -> Vec<String> {
    for _ in 0..100 {
        let mut instance = worker.start().await;
        match attempt(&mut instance, calls).await {
            Ok(results) => return results,
            Err(CallError::Jump) => {}
            Err(error) => panic!("a life ended with {error:?}"),
        }
    }
    panic!("the worker goes back in its oplog for ever");
}

async fn attempt(instance: &mut Instance, calls: &[(&str, &[&str])]) -> Result<Vec<String>, CallError> {
    let mut results = Vec::new();
    for (function, arguments) in calls {
        results.push(call(instance, function, arguments).await?);
    }
    Ok(results)
}

/// For every prefix of a run's oplog: a worker that crashed there comes to its end, and gives the same once more in a life
/// that only replays.
pub(crate) async fn crash_everywhere(guest: &str, calls: &[(&str, &[&str])]) -> Vec<String> {
    crash_everywhere_of(built(guest), calls).await
}

/// As [`crash_everywhere`], with a component's bytes.
pub(crate) async fn crash_everywhere_of(component: Vec<u8>, calls: &[(&str, &[&str])]) -> Vec<String> {
    let worker = Worker::of(component).await;
    let whole = run(&worker, calls).await;
    let entries = worker.oplog.entries().expect("decodable entries").len() as u64;
    assert!(entries > 3, "the run records something");
    for last in 1..=entries {
        let crashed = worker.copy(OplogIndex(last));
        let after = run(&crashed, calls).await;
        let length = crashed.oplog.last();
        let again = run(&crashed, calls).await;
        assert_eq!(after, again, "after a crash behind entry {last} of {entries}");
        assert_eq!(crashed.oplog.last(), length, "replay records nothing");
    }
    whole
}

#[tokio::test]
async fn every_way_of_control_survives_a_crash_behind_every_entry() {
    let results = crash_everywhere("durable", &[("journey", &[]), ("count", &[]), ("journey", &[])]).await;
    assert_eq!(results[1], "1");
    assert_ne!(results[0], results[2], "both journeys saw other numbers");
}

#[tokio::test]
async fn going_back_in_the_oplog_survives_a_crash_behind_every_entry() {
    let calls: &[(&str, &[&str])] = &[("until-even", &[]), ("until-even", &[]), ("until-even", &[])];
    for number in crash_everywhere("durable", calls).await {
        assert_eq!(number.parse::<u64>().expect("a number") % 2, 0);
    }
}

#[tokio::test]
async fn clocks_and_logs_survive_a_crash_behind_every_entry() {
    let calls: &[(&str, &[&str])] = &[
        ("observe", &[]),
        ("print", &["\"one\""]),
        ("observe", &[]),
        ("sleep-ms", &["1"]),
        ("observed", &[]),
    ];
    crash_everywhere("effects", calls).await;
}

/// What lies in a zone without persistence is made anew in each life, whether or not the zone was left; what comes after
/// it is not.
#[tokio::test]
async fn a_zone_without_persistence_runs_again() {
    let worker = Worker::of(built("durable")).await;
    let first = run(&worker, &[("unpersisted", &[])]).await;
    let again = run(&worker, &[("unpersisted", &[])]).await;
    let pair = |text: &str| -> Vec<u64> {
        text.trim_matches(['(', ')'])
            .split(", ")
            .map(|number| number.parse().expect("a number"))
            .collect()
    };
    assert_ne!(pair(&first[0])[0], pair(&again[0])[0], "inside");
    assert_eq!(pair(&first[0])[1], pair(&again[0])[1], "behind");
    let entries = worker.oplog.entries().expect("decodable entries");
    let kinds: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.entry.as_ref())
        .map(kind_name)
        .collect();
    assert_eq!(
        kinds,
        [
            "create",
            "change-persistence-level",
            "imported-function-invoked",
            "change-persistence-level",
            "imported-function-invoked",
        ]
    );
}

/// An open atomic region is repeated as a whole: the entries of the first attempt are void.
#[tokio::test]
async fn an_open_atomic_region_begins_anew() {
    let worker = Worker::of(built("durable")).await;
    let whole = run(&worker, &[("journey", &[])]).await;
    let entries = worker.oplog.entries().expect("decodable entries");
    let inside = entries
        .iter()
        .position(|entry| matches!(entry.entry, Some(Entry::EndAtomicRegion(_))))
        .expect("a region") as u64;
    let crashed = worker.copy(OplogIndex(inside));
    let after = run(&crashed, &[("journey", &[])]).await;
    let seen = |text: &str, at: usize| text.split("), (").nth(at).expect("a number").to_owned();
    assert_eq!(seen(&whole[0], 0), seen(&after[0], 0), "before the region");
    assert_ne!(seen(&whole[0], 1), seen(&after[0], 1), "inside");
    assert!(crashed.has(|entry| matches!(entry, Entry::Jump(jump) if jump.start == inside - 1)));
}

#[tokio::test]
async fn keys_are_those_of_the_place_in_the_oplog() {
    let worker = Worker::of(built("durable")).await;
    let mut instance = worker.start().await;
    let keys = call(&mut instance, "keys", &[]).await.expect("keys");
    let mut again = worker.start().await;
    assert_eq!(call(&mut again, "keys", &[]).await.expect("keys"), keys);
    let [first, second] = keys.split("), (").collect::<Vec<_>>()[..] else {
        panic!("{keys}")
    };
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_retry_policy_is_what_the_guest_has_set() {
    let worker = Worker::of(built("durable")).await;
    let results = run(&worker, &[("policy", &["7"]), ("policy", &["8"])]).await;
    assert!(
        results[0].starts_with("\"3 RetryPolicy { max-attempts: 7"),
        "{}",
        results[0]
    );
    assert!(results[1].starts_with("\"7 "), "{}", results[1]);
}

impl Worker {
    /// A worker with the beginning of this one's oplog, as after a crash.
    pub(crate) fn copy(&self, last: OplogIndex) -> Self {
        let oplog = MemoryOplog::from(self.oplog.encoded());
        oplog.truncate(last);
        Self {
            component: self.component.clone(),
            context: self.context.clone(),
            oplog: Arc::new(oplog),
        }
    }

    /// What jumps have made void so far.
    pub(crate) fn void(&self) -> Regions {
        let entries = self.oplog.entries().expect("decodable entries");
        let jumps = entries.iter().filter_map(|entry| match &entry.entry {
            Some(Entry::Jump(region)) => Some(*region),
            _ => None,
        });
        jumps.collect::<Vec<_>>().iter().collect()
    }

    fn has(&self, fits: impl Fn(&Entry) -> bool) -> bool {
        let entries = self.oplog.entries().expect("decodable entries");
        entries.iter().filter_map(|entry| entry.entry.as_ref()).any(fits)
    }
}
