//! The version of everything that is derived from worker records: indexes, counters, feed.

use kiln_proto::{ids::WorkerId, v1::WorkerRecord};

use super::{
    append,
    keys::{self, WorkerNumber},
    record,
};
use crate::{Error, Table, Transaction};

const LAYOUT: &[u8] = b"layout";

/// 1 had status rows in the order of creation, and counters by status alone.
const CURRENT: u8 = 2;

/// Prefixes of counters in the table of facts.
const DERIVED_FACTS: [&[u8]; 4] = [b"count/", super::tally::TALLIES, b"covered/", b"feed/"];

/// Derives everything anew when it was derived by another version. As part of a command it is a pure function of the
/// tables; replicas that do it at different commands come to the same rows.
pub(super) fn ensure(state: &mut Transaction<'_>) -> Result<(), Error> {
    if state.get(Table::Meta, LAYOUT)?.as_deref() == Some(&[CURRENT]) {
        return Ok(());
    }
    for (key, _) in state.scan(Table::Index, &[], &[], usize::MAX)? {
        state.delete(Table::Index, key);
    }
    for prefix in DERIVED_FACTS {
        for (key, _) in state.scan_prefix(Table::Meta, prefix)? {
            state.delete(Table::Meta, key);
        }
    }
    for (key, stored) in state.scan(Table::Worker, &[], &[], usize::MAX)? {
        derive(state, &key, &stored)?;
    }
    state.put(Table::Meta, LAYOUT, vec![CURRENT]);
    Ok(())
}

fn derive(state: &mut Transaction<'_>, key: &[u8], stored: &bytes::Bytes) -> Result<(), Error> {
    let malformed = || Error::Corrupt("a worker record has no number or no identity".into());
    let number = keys::number_at(key, 0).map(WorkerNumber).ok_or_else(malformed)?;
    let mut worker: WorkerRecord = record::decode("a worker record", stored)?;
    let id = worker.worker_id.as_ref().map(WorkerId::try_from);
    let id = id.and_then(Result::ok).ok_or_else(malformed)?;
    append::put_derived(state, &id, number, None, &mut worker)?;
    state.put(Table::Worker, keys::worker(number), record::encode(&worker));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kiln_proto::{
        ids::{ComponentId, GroupId},
        v1::WorkerStatus,
    };

    use super::*;
    use crate::{
        Options, Reader,
        engine::StateDb,
        shard::{feed, tally},
    };

    const GROUP: GroupId = GroupId(3);

    fn worker(name: &str) -> WorkerId {
        WorkerId {
            component: ComponentId("00000000-0000-0000-0000-000000000007".parse().expect("a UUID")),
            name: name.parse().expect("a name"),
        }
    }

    /// Tables of a group as layout 1 left them: a worker's record, and derived rows that mean nothing now.
    fn old_tables(db: &Arc<StateDb>) {
        let stored = WorkerRecord {
            worker_id: Some((&worker("a")).into()),
            status: WorkerStatus::Failed.into(),
            component_version: 2,
            ..WorkerRecord::default()
        };
        let mut batch = db.batch(GROUP);
        batch.put(
            Table::Worker,
            &keys::worker(WorkerNumber(9)),
            &record::encode(&stored),
        );
        batch.put(Table::Index, &[1, 2, 3], &[]);
        batch.put(Table::Meta, b"count/old", &[0; 8]);
        batch.write().expect("writes");
    }

    #[test]
    fn rows_of_an_older_layout_are_derived_anew_and_only_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = StateDb::open(folder.path(), &Options::new(folder.path())).expect("opens");
        old_tables(&db);
        let reader = Reader::new(Arc::clone(&db), GROUP);
        let mut state = crate::Transaction::new(&reader);
        ensure(&mut state).expect("derives");
        let mut batch = db.batch(GROUP);
        state.fill(&mut batch);
        batch.write().expect("writes");

        let rows = reader.scan_prefix(Table::Index, &[]).expect("reads");
        assert_eq!(
            rows.iter().map(|(key, _)| key[0]).collect::<Vec<_>>(),
            [6, 7, 8, feed::CHANGED]
        );
        let counters = reader.scan_prefix(Table::Meta, tally::TALLIES).expect("reads");
        assert_eq!(counters.len(), 1);
        assert!(
            reader
                .scan_prefix(Table::Meta, b"count/")
                .expect("reads")
                .is_empty()
        );
        let mut again = crate::Transaction::new(&reader);
        ensure(&mut again).expect("looks");
        assert_eq!(again.bytes(), 0, "nothing is written a second time");
    }

    #[test]
    fn old_deletions_are_forgotten_and_that_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = StateDb::open(folder.path(), &Options::new(folder.path())).expect("opens");
        let reader = Reader::new(db, GROUP);
        let mut state = crate::Transaction::new(&reader);
        for _ in 0..10_000 {
            let created = feed::changed(&mut state, WorkerNumber(1), None).expect("counts");
            feed::deleted(&mut state, &worker("a"), created).expect("counts");
        }
        let (last, forgotten) = feed::ends(|key| state.get(Table::Meta, key)).expect("reads");
        assert_eq!(last, 20_000);
        assert!((1..last).contains(&forgotten));
        let kept = state
            .scan_prefix(Table::Index, &[feed::DELETED])
            .expect("reads")
            .len();
        assert!((4096..8192).contains(&kept), "{kept}");
    }
}
