//! The Raft library's own storage suite, over both stores.

use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::ids::GroupId;
use openraft::{
    StorageError,
    errors::ErrorSource,
    impls::BoxedErrorSource,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;

use super::{LogStore, LogWriter, TailMemory, state_machine::StateMachine, types::Types};
use crate::{
    Error, Machine, Options, Transaction,
    engine::{LogDb, StateDb, Table},
    stats::Counters,
};

/// Remembers the last command.
struct Echo;

impl Machine for Echo {
    fn apply(&self, state: &mut Transaction<'_>, command: Bytes) -> Result<Bytes, Error> {
        state.put(Table::Meta, "last", command.clone());
        Ok(command)
    }
}

/// Ends the writer before its folder goes.
struct Guard {
    _folder: TempDir,
    writer: LogWriter,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.writer.stop_blocking();
    }
}

struct Builder;

impl Builder {
    fn open() -> Result<(Guard, LogStore, StateMachine<Echo>), Error> {
        let folder = tempfile::tempdir().map_err(Error::io("make a folder"))?;
        let options = Options {
            write_buffer_bytes: 4 << 20,
            block_cache_bytes: 1 << 20,
            ..Options::new(folder.path())
        };
        let counters = Arc::new(Counters::default());
        let log = LogDb::open(&folder.path().join("raft"))?;
        let state = StateDb::open(&folder.path().join("state"), &options)?;
        let writer = LogWriter::start(Arc::clone(&log), Arc::clone(&counters))?;
        let guard_writer = writer.clone();
        let group = GroupId(3);
        // A tail of almost nothing, so that most reads go to the disk.
        let store = LogStore::open(
            group,
            log,
            writer.clone(),
            Arc::new(TailMemory::new(200)),
            Arc::default(),
        )?;
        let applied = tokio::sync::watch::Sender::new(0);
        let machine = StateMachine::open(
            group,
            state,
            Arc::new(Echo),
            writer,
            counters,
            folder.path().join("snapshots"),
            applied,
        )?;
        let guard = Guard {
            _folder: folder,
            writer: guard_writer,
        };
        Ok((guard, store, machine))
    }
}

impl StoreBuilder<Types, LogStore, StateMachine<Echo>, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine<Echo>), StorageError<Types>> {
        Self::open().map_err(|error| StorageError::read(BoxedErrorSource::from_error(&error)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores_conform() {
    Suite::test_all(Builder).await.expect("the suite passes");
}
