//! `wasi:keyvalue` and `wasi:blobstore`: every function, live and after a crash at any entry of the oplog.

use std::sync::Arc;

use bytes::Bytes;
use kiln_executor::{
    host::{Instance, Invocation},
    journal::{Journal, MemoryOplog, OplogStore, Options, PageLimits},
};
use kiln_proto::{
    Error,
    ids::{Epoch, IdempotencyKey, OplogIndex, WorkerId},
};

use crate::{
    fixture::{Worker, built, call, ok},
    memory_storage::MemoryStorage,
};

/// An oplog on a node that dies before it has taken another entry than the first `room`.
struct DyingOplog {
    oplog: Arc<MemoryOplog>,
    room: u64,
}

#[async_trait::async_trait]
impl OplogStore for DyingOplog {
    async fn append(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        first: OplogIndex,
        entries: Vec<Bytes>,
    ) -> Result<(), Error> {
        if first.0 + entries.len() as u64 - 1 > self.room {
            return Err(Error::unavailable("the node has died"));
        }
        self.oplog.append(worker, epoch, first, entries).await
    }

    fn read(
        &self,
        worker: &WorkerId,
        from: OplogIndex,
        limits: PageLimits,
    ) -> Result<Vec<(OplogIndex, Bytes)>, Error> {
        self.oplog.read(worker, from, limits)
    }
}

async fn worker() -> (Worker, Arc<MemoryStorage>) {
    let mut worker = Worker::of(built("storage")).await;
    let storage = Arc::new(MemoryStorage::default());
    worker.context.storage = storage.clone();
    (worker, storage)
}

fn enter(instance: &mut Instance) {
    instance.enter(Invocation {
        key: IdempotencyKey::new("the-call").expect("a valid key"),
        context: None,
        ..Invocation::default()
    });
}

/// The worker on a node that dies after `room` entries.
async fn start_dying(worker: &Worker, room: u64) -> Instance {
    let store = Arc::new(DyingOplog {
        oplog: worker.oplog.clone(),
        room,
    });
    let options = Options::new(worker.context.id.clone(), Epoch(1), worker.oplog.last());
    let journal = Journal::open(store, options).expect("a readable oplog");
    worker.start_with(journal).await
}

async fn tour(instance: &mut Instance) -> String {
    enter(instance);
    ok(instance, "tour", &["\"t\""]).await
}

/// One that a failed assertion shows well.
fn lines(tour: &str) -> Vec<String> {
    tour.split("\", \"").map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_entry_changes_no_result_and_repeats_no_write() {
    let (whole, whole_storage) = worker().await;
    let expected = tour(&mut whole.start().await).await;
    let entries = whole.oplog.last().0;
    assert!(entries > 100, "{entries} entries are no tour");
    for room in 1..entries {
        let (worker, storage) = worker().await;
        let mut instance = start_dying(&worker, room).await;
        enter(&mut instance);
        call(&mut instance, "tour", &["\"t\""])
            .await
            .expect_err("the node dies during the tour");
        drop(instance);
        let survived = worker.oplog.last().0;
        let again = tour(&mut worker.start().await).await;
        assert_eq!(
            lines(&again),
            lines(&expected),
            "after a crash behind entry {survived}"
        );
        assert_eq!(
            storage.applied(),
            whole_storage.applied(),
            "writes after a crash behind entry {survived}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_function_does_what_its_interface_says() {
    let (worker, _) = worker().await;
    let tour = tour(&mut worker.start().await).await;
    let lines = lines(&tour);
    assert_eq!(lines, EXPECTED.lines().collect::<Vec<_>>());
}

const EXPECTED: &str = "";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_contents_stay_out_of_the_oplog() {
    let (worker, _) = worker().await;
    let mut instance = worker.start().await;
    ok(&mut instance, "put", &["\"c\"", "\"o\"", "3000000", "1"]).await;
    let digest = ok(&mut instance, "digest", &["\"c\"", "\"o\"", "0", "2999999"]).await;
    ok(&mut instance, "hold", &["\"c\"", "\"o\""]).await;
    ok(&mut instance, "remove", &["\"c\"", "\"o\""]).await;
    assert_eq!(
        ok(&mut instance, "held", &[]).await,
        digest,
        "the value was opened before"
    );
    drop(instance);
    let bytes: usize = worker
        .oplog
        .entries()
        .expect("decodable entries")
        .iter()
        .map(prost::Message::encoded_len)
        .sum();
    assert!(bytes < 10_000, "{bytes} bytes of oplog");

    let mut instance = worker.start().await;
    ok(&mut instance, "put", &["\"c\"", "\"o\"", "3000000", "1"]).await;
    ok(&mut instance, "digest", &["\"c\"", "\"o\"", "0", "2999999"]).await;
    ok(&mut instance, "hold", &["\"c\"", "\"o\""]).await;
    ok(&mut instance, "remove", &["\"c\"", "\"o\""]).await;
    assert_eq!(
        ok(&mut instance, "held", &[]).await,
        digest,
        "and once more by a replay"
    );
}
