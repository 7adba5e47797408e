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
    let tour = tour.trim_start_matches("[\"").trim_end_matches("\"]");
    let plain = |line: &str| line.replace("\\\"", "\"");
    tour.split("\", \"").map(plain).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_entry_changes_no_result_and_repeats_no_write() {
    let (whole, whole_storage) = worker().await;
    let expected = tour(&mut whole.start().await).await;
    let entries = whole.oplog.last().0;
    assert!(entries > 80, "{entries} entries are no tour");
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

const EXPECTED: &str = r#"get Ok(None)
set Ok(())
get Ok(Some("one"))
exists Ok(true)
set Ok(())
get Ok(Some(100000))
delete Ok(())
delete again Ok(())
exists Ok(false)
set without a name true
set a long name true
set too much true
set-many Ok(())
get-many Ok([Some(Ok("d")), None, Some(Ok("a"))])
keys Ok(["k00", "k01", "k02", "k03", "k04", "k05", "k06", "k07", "k08", "k09", "k10", "k11", "k12", "k13", "k14", "k15", "k16", "k17", "k18", "k19"])
delete-many Ok(())
keys Ok(["k00"])
increment Ok(3)
increment Ok(7)
compare-and-swap Ok(false)
compare-and-swap Ok(true)
get Ok(Some("9"))
increment too far true
set Ok(())
increment a text true
delete Ok(())
open-bucket without a name Err("the name of a bucket cannot be empty")
cache set Some(Ok(()))
cache set taken true
cache get Some(Ok(Some("kept")))
cache exists Some(Ok(true))
cache get-or-set Ok("kept")
cache delete Some(Ok(()))
cache get-or-set Ok("vacant")
cache get Some(Ok(Some("filled")))
cache set for no time true
cache get Some(Ok(None))
container-exists Ok(false)
get-container true
container-exists Ok(true)
create-container again true
get-container true
name Ok("t")
info Ok(("t", true))
has-object Ok(false)
get-data of nothing true
object-info of nothing true
write-data Ok(())
has-object Ok(true)
object-info Ok(("o", "t", 10, true))
write-data Ok(())
size Ok(0)
delete-object Ok(())
delete-object again Ok(())
write-data without a name true
write-data Ok(())
range Ok([7, 8, 9, 10])
range Ok([17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27])
range Ok([164, 163])
range Ok([])
range Ok([])
whole Ok(2500000)
replaced Ok(())
digest of the old one Ok((2500000, 5408083849442560816))
list of the old one Ok(2500000)
digest of the new one Ok((5, 986115))
delete-object Ok(())
write-data Ok(())
write-data Ok(())
write-data Ok(())
write-data Ok(())
write-data Ok(())
read Ok((["a", "b"], false))
skip Ok((1, false))
read Ok((["d", "e"], true))
read Ok(([], true))
skip Ok((0, true))
delete-objects Ok(())
left Ok((["b", "d", "e"], true))
clear Ok(())
left Ok(([], true))
write-data Ok(())
copy-object Ok(())
move-object Ok(())
move-object again true
has-object Ok(false)
the same true
delete-container Ok(())
delete-container Ok(())
delete-container again true"#;

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
