//! Pages of a worker's oplog, whole or searched.

use std::{sync::Arc, time::Duration};

use kiln_proto::{
    Error,
    ids::{OplogIndex, WorkerId},
    v1,
};
use prost::Message as _;
use tonic::{Response, Status};

use crate::{
    operations::{On, client, unknown},
    oplog_query::Query,
    route::{Operation, RemoteCall},
    shard::Owned,
};

const ENTRIES_DEFAULT: u32 = 100;
const ENTRIES_MAX: u32 = 1000;
/// Bytes of entries on a page, so that it fits in a message.
const BYTES_MAX: usize = 4 << 20;
/// Entries that a search looks at for one page.
const SEARCHED_MAX: usize = 20_000;
/// Longest wait for an entry that is not there yet.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Entries that a search reads at once.
const SEARCH_CHUNK: u32 = 256;

impl Operation for On<v1::GetOplogRequest> {
    type Reply = v1::GetOplogResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::GetOplogResponse, Error> {
        let query = Query::parse(&self.request.query).map_err(|error| Error::invalid(error.to_string()))?;
        let from = self.request.from.max(1);
        if self.request.wait_ms > 0 {
            let wait_max = Duration::from_millis(self.request.wait_ms.into()).min(WAIT_MAX);
            // How it ends shows in what is read then.
            let _ = tokio::time::timeout(wait_max, entry_at(&owned, &self.worker, from)).await;
        }
        owned.shard.barrier().await?;
        let record = owned.record(&self.worker)?.ok_or_else(|| unknown(&self.worker))?;
        let limit = match self.request.limit {
            0 => ENTRIES_DEFAULT,
            limit => limit.min(ENTRIES_MAX),
        };
        let mut search = Search {
            next: from,
            looked_at: 0,
            bytes: 0,
            found: Vec::new(),
        };
        let chunk = if self.request.query.is_empty() {
            limit
        } else {
            SEARCH_CHUNK
        };
        while search.step(&owned, &self.worker, &query, limit as usize, chunk as usize)? {
            tokio::task::yield_now().await;
        }
        Ok(v1::GetOplogResponse {
            next: if search.next > record.oplog_index {
                0
            } else {
                search.next
            },
            entries: search.found,
        })
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::GetOplogResponse>, Status> {
        client(&call)
            .get_oplog(call.request((*self.request).clone()))
            .await
    }
}

/// Waits until a worker's oplog reaches an index, or the worker is no more.
async fn entry_at(owned: &Owned, worker: &WorkerId, index: u64) -> Result<(), Error> {
    let mut turns = owned.shard.follow(worker);
    let mut leadership = owned.shard.group().leadership();
    while let Some(record) = owned.shard.worker(worker)?
        && record.oplog_index < index
        && !owned.is_closed()
    {
        tokio::select! {
            _ = turns.changed() => {}
            _ = leadership.changed() => return Ok(()),
        }
    }
    Ok(())
}

/// A page that is being filled.
struct Search {
    next: u64,
    looked_at: usize,
    bytes: usize,
    found: Vec<v1::IndexedOplogEntry>,
}

impl Search {
    /// Looks at the next entries; true when the page has room and there may be more.
    fn step(
        &mut self,
        owned: &Owned,
        worker: &WorkerId,
        query: &Query,
        limit: usize,
        chunk: usize,
    ) -> Result<bool, Error> {
        let room = BYTES_MAX.saturating_sub(self.bytes).max(1);
        let page = owned
            .shard
            .read_oplog(worker, OplogIndex(self.next), chunk, room)?;
        for (index, bytes) in &page {
            let entry = v1::OplogEntry::decode(bytes.clone())
                .map_err(|_| Error::corrupt(format!("entry {index} of worker {worker} cannot be read")))?;
            self.next = index.0 + 1;
            self.looked_at += 1;
            if !query.matches(&entry) {
                continue;
            }
            self.bytes += bytes.len();
            self.found.push(v1::IndexedOplogEntry {
                index: index.0,
                entry: Some(entry),
            });
            if self.found.len() >= limit || self.bytes >= BYTES_MAX {
                return Ok(false);
            }
        }
        Ok(!page.is_empty() && self.looked_at < SEARCHED_MAX)
    }
}
