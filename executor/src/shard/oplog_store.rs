use bytes::Bytes;
use kiln_proto::{
    Error,
    ids::{Epoch, OplogIndex, WorkerId},
};
use kiln_store::Shard;

use crate::journal::{OplogStore, PageLimits};

/// A shard as the place where oplogs live.
pub(crate) struct ShardOplog(pub(crate) Shard);

#[async_trait::async_trait]
impl OplogStore for ShardOplog {
    async fn append(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        first: OplogIndex,
        entries: Vec<Bytes>,
    ) -> Result<(), Error> {
        self.0.append(epoch, worker, first, entries).await?;
        Ok(())
    }

    fn read(
        &self,
        worker: &WorkerId,
        from: OplogIndex,
        limits: PageLimits,
    ) -> Result<Vec<(OplogIndex, Bytes)>, Error> {
        Ok(self
            .0
            .read_oplog(worker, from, limits.entries_max, limits.bytes_max)?)
    }
}
