use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kiln_executor::host::{CallError, Room, TrapKind};
use kiln_proto::v1::oplog_entry::Entry;

use crate::fixture::{Worker, built, call, ok};

#[tokio::test]
async fn a_hostile_guest_is_stopped_and_told_why() {
    let limit = TrapKind::LimitExceeded;
    for (function, arguments, kind, text) in [
        ("spin", &[][..], limit, "used more than 5 s of processor time"),
        ("spin-on-host", &[], limit, "used more than 5 s of processor time"),
        (
            "devour",
            &[],
            TrapKind::ExceededMemoryLimit,
            "out of memory: a worker may use 67108864 bytes",
        ),
        ("recurse", &[], TrapKind::StackOverflow, "call stack exhausted"),
        (
            "flood",
            &["1000"],
            limit,
            "too much output: one invocation may write 1048576 bytes",
        ),
        ("flood", &["0"], limit, "too much output"),
        (
            "hoard",
            &[],
            limit,
            "too many resources: a worker may hold 10000 at a time",
        ),
        (
            "shout",
            &["100000"],
            limit,
            "a log message of 100000 bytes; the limit is 65536",
        ),
        (
            "shout",
            &["20000000"],
            limit,
            "too much passed to the host: strings and lists of one call may have 16777216 bytes",
        ),
        (
            "random",
            &["2000000"],
            limit,
            "2000000 random bytes asked for at once; the limit is 1048576",
        ),
    ] {
        let worker = Worker::of(built("hostile")).await;
        let mut instance = worker.start().await;
        let error = call(&mut instance, function, arguments)
            .await
            .expect_err(function);
        let CallError::Trap {
            kind: actual,
            message,
            ..
        } = error
        else {
            panic!("{function}: {error:?}")
        };
        assert_eq!(actual, kind, "{function}: {message}");
        assert!(message.contains(text), "{function}: {message}");
    }
}

/// Room for so many bytes.
struct Little(AtomicU64);

#[async_trait::async_trait]
impl Room for Little {
    async fn reserve(&self, bytes: u64) -> bool {
        bytes <= self.0.load(Ordering::Relaxed)
    }

    fn bytes_max(&self) -> u64 {
        u64::MAX
    }
}

#[tokio::test]
async fn growth_is_recorded_and_waits_for_room_outside_the_guest() {
    let mut worker = Worker::of(built("hostile")).await;
    let room = Arc::new(Little(AtomicU64::new(8 << 20)));
    worker.context.room = room.clone();
    let mut instance = worker.start().await;
    let before = instance.memory_bytes() as u64;
    ok(&mut instance, "keep", &["4000000"]).await;
    let grown: u64 = worker
        .oplog
        .entries()
        .expect("decodable entries")
        .iter()
        .map(|entry| match &entry.entry {
            Some(Entry::GrowMemory(grow)) => grow.delta,
            _ => 0,
        })
        .sum();
    assert_eq!(before + grown, instance.memory_bytes() as u64);
    let error = call(&mut instance, "keep", &["8000000"])
        .await
        .expect_err("no room");
    let CallError::OutOfMemory { bytes } = error else {
        panic!("{error:?}")
    };
    assert!(bytes > 12_000_000, "{bytes}");

    room.0.store(bytes, Ordering::Relaxed);
    let mut instance = worker.start().await;
    assert_eq!(ok(&mut instance, "keep", &["4000000"]).await, "4000000");
    assert_eq!(ok(&mut instance, "keep", &["8000000"]).await, "12000000");
}
