use kiln_proto::{
    Error,
    ids::{ComponentId, ShardId},
    v1,
};

use super::{cursor::Mark, filter::Filter, local::Wanted};

/// A list of workers, as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) wanted: Wanted,
    /// Only owners answer, each after a barrier. Otherwise the nearest replica does, and says how old its part is.
    pub(crate) precise: bool,
    /// Go on without shards that cannot answer.
    pub(crate) allow_partial: bool,
}

impl Query {
    /// A query for the workers of a component, or of all, that a filter lets pass.
    ///
    /// # Errors
    /// `INVALID` for a filter that is too large.
    pub(crate) fn new(component: Option<ComponentId>, filter: Filter, precise: bool) -> Result<Self, Error> {
        filter.check()?;
        Ok(Self {
            wanted: Wanted { component, filter },
            precise,
            allow_partial: false,
        })
    }
}

/// A page of workers, with what there is to say about it.
#[derive(Debug)]
pub(crate) struct Page {
    /// In the order of shards, and within each of its own order.
    pub(crate) rows: Vec<Row>,
    /// Where the next page continues; `None` after the last one.
    pub(crate) next: Option<Mark>,
    /// Nanoseconds since the Unix epoch: the page is at least as new.
    pub(crate) as_of_ns: u64,
    /// Shards that could not answer.
    pub(crate) missing: Vec<u32>,
    /// What each shard did.
    pub(crate) parts: Vec<v1::ShardPart>,
}

/// A worker on a page.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) shard: ShardId,
    pub(crate) record: v1::WorkerRecord,
    /// Absent on whole pages.
    position: Option<v1::ShardPosition>,
}

impl Row {
    /// Behind this row.
    ///
    /// # Errors
    /// `INTERNAL` for a row of a whole page.
    pub(super) fn mark(&self) -> Result<Mark, Error> {
        let position = self.position.clone();
        Ok(Mark {
            shard: self.shard,
            after: Some(position.ok_or_else(malformed)?),
        })
    }
}

/// The rows of a shard's answer.
pub(super) fn rows_of(shard: ShardId, response: v1::ScanShardResponse) -> Result<Vec<Row>, Error> {
    if !response.positions.is_empty() && response.workers.len() != response.positions.len() {
        return Err(malformed());
    }
    let mut positions = response.positions.into_iter();
    let rows = response.workers.into_iter().map(|record| {
        Ok(Row {
            shard,
            record: super::local::decode(record)?,
            position: positions.next(),
        })
    });
    rows.collect()
}

fn malformed() -> Error {
    Error::internal("a shard's answer is malformed")
}
