use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::StreamExt;
use kiln_proto::{
    Error,
    convert::now_ns,
    ids::{ComponentId, ShardId, WorkerId},
    v1,
};

use super::{CountShard, ScanShard, count_rows, cursor::Cursor, filter::Filter, scan::PAGE_MAX, scan_rows};
use crate::{
    registry::Registry,
    route::{Patience, Router},
    worker::info::worker_info,
};

const PAGE_DEFAULT: usize = 50;
/// Shards asked at the same time for one caller.
const CONCURRENCY: usize = 16;
/// A cached listing leaves a shard out that does not answer within this time, and says so.
const CACHED_PATIENCE: Duration = Duration::from_secs(3);

/// Lists and counts workers over all shards.
pub(crate) struct Enumerator {
    pub(crate) router: Arc<Router>,
    pub(crate) registry: Arc<Registry>,
}

impl Enumerator {
    /// One page, in the order of shards and within each of component and name.
    ///
    /// # Errors
    /// `INVALID` for a filter or cursor that cannot be read; `UNAVAILABLE` when a precise listing misses a shard.
    pub(crate) async fn list(
        &self,
        request: v1::ListWorkersRequest,
        patience: Patience,
    ) -> Result<v1::ListWorkersResponse, Error> {
        check(&request.filters)?;
        let cursor = match request.cursor.as_str() {
            "" => None,
            text => Some(Cursor::decode(text)?),
        };
        let limit = match request.limit {
            0 => PAGE_DEFAULT,
            limit => (limit as usize).min(PAGE_MAX),
        };
        let component_id = self.component(&request.component).await?;
        let shards = self.shard_count()?;
        let first = cursor.as_ref().map_or(0, |cursor| cursor.shard.0);
        let scan_of = |shard| v1::ScanShardRequest {
            shard,
            component_id: component_id.clone(),
            filters: request.filters.clone(),
            precise: request.precise,
            // One more than wanted shows whether there is another page.
            limit: u32::try_from(limit + 1).unwrap_or(u32::MAX),
            after: cursor
                .as_ref()
                .filter(|cursor| cursor.shard.0 == shard)
                .map(|cursor| (&cursor.after).into()),
        };
        let mut pages = futures::stream::iter(first..shards)
            .map(|shard| {
                let scan = scan_of(shard);
                async move { (shard, self.scan(scan, patience).await) }
            })
            .buffered(CONCURRENCY);
        let mut listing = Listing {
            as_of_ns: now_ns(),
            ..Listing::default()
        };
        while let Some((shard, page)) = pages.next().await {
            match page {
                Ok(page) => listing.add(ShardId(shard), page),
                Err(error) if !request.precise && error.is_retryable() => listing.missing.push(shard),
                Err(error) => return Err(error),
            }
            if listing.rows.len() > limit {
                break;
            }
        }
        drop(pages);
        self.page(listing, limit).await
    }

    /// How many workers there are, in all and by status.
    ///
    /// # Errors
    /// As for [`Enumerator::list`].
    pub(crate) async fn count(
        &self,
        request: v1::CountWorkersRequest,
        patience: Patience,
    ) -> Result<v1::CountWorkersResponse, Error> {
        check(&request.filters)?;
        let component_id = self.component(&request.component).await?;
        let shards = self.shard_count()?;
        let mut counts = futures::stream::iter(0..shards)
            .map(|shard| {
                let count = v1::CountShardRequest {
                    shard,
                    component_id: component_id.clone(),
                    filters: request.filters.clone(),
                    precise: request.precise,
                };
                self.count_shard(count, patience)
            })
            .buffer_unordered(CONCURRENCY);
        let mut totals: Vec<u64> = Vec::new();
        while let Some(shard) = counts.next().await {
            let by_status = shard?.by_status;
            totals.resize(totals.len().max(by_status.len()), 0);
            totals
                .iter_mut()
                .zip(by_status)
                .for_each(|(total, count)| *total += count);
        }
        let by_status = (0..).zip(&totals).map(|(status, count)| v1::StatusCount {
            status,
            count: *count,
        });
        Ok(v1::CountWorkersResponse {
            count: totals.iter().sum(),
            by_status: by_status.collect(),
        })
    }

    /// All rows of a shard that fit, over as many pages as the shard makes of them.
    async fn scan(
        &self,
        mut request: v1::ScanShardRequest,
        patience: Patience,
    ) -> Result<v1::ScanShardResponse, Error> {
        let wanted = request.limit as usize;
        let mut all = self.scan_page(request.clone(), patience).await?;
        while all.more && all.workers.len() < wanted {
            request.after = all.last_examined.take();
            let page = self.scan_page(request.clone(), patience).await?;
            all.workers.extend(page.workers);
            all.more = page.more;
            all.last_examined = page.last_examined;
            all.as_of_ns = all.as_of_ns.min(page.as_of_ns);
        }
        Ok(all)
    }

    async fn scan_page(
        &self,
        request: v1::ScanShardRequest,
        patience: Patience,
    ) -> Result<v1::ScanShardResponse, Error> {
        let shard = ShardId(request.shard);
        if request.precise {
            return self
                .router
                .route(shard, patience, Arc::new(ScanShard(request)))
                .await;
        }
        if let Some(replica) = self.readable(shard) {
            return scan_rows(&replica.shard, &request, |_, _| {});
        }
        self.router
            .route(
                shard,
                Patience::of(Some(CACHED_PATIENCE)),
                Arc::new(ScanShard(request)),
            )
            .await
    }

    async fn count_shard(
        &self,
        request: v1::CountShardRequest,
        patience: Patience,
    ) -> Result<v1::CountShardResponse, Error> {
        let shard = ShardId(request.shard);
        if !request.precise
            && let Some(replica) = self.readable(shard)
        {
            return count_rows(&replica.shard, &request, |_, _| {});
        }
        self.router
            .route(shard, patience, Arc::new(CountShard(request)))
            .await
    }

    /// A replica here that is not the owner's, for cached reads. An owner knows more than its replica.
    fn readable(&self, shard: ShardId) -> Option<Arc<crate::shard::Replica>> {
        let replica = self.router.shards.replica(shard)?;
        let is_useful = self.router.shards.owned(shard).is_none() && replica.shard.group().is_initialized();
        is_useful.then_some(replica)
    }

    async fn component(&self, name: &str) -> Result<bytes::Bytes, Error> {
        if name.is_empty() {
            return Ok(bytes::Bytes::new());
        }
        let id = self.registry.resolve(name).await?;
        Ok(bytes::Bytes::copy_from_slice(id.as_bytes()))
    }

    fn shard_count(&self) -> Result<u32, Error> {
        let map = self.router.view.glance();
        if map.is_founded() {
            Ok(map.wire.shard_count)
        } else {
            Err(Error::unavailable("this node has no cluster map yet"))
        }
    }

    async fn page(&self, mut listing: Listing, limit: usize) -> Result<v1::ListWorkersResponse, Error> {
        let mut response = v1::ListWorkersResponse {
            as_of_ns: listing.as_of_ns,
            missing_shards: listing.missing,
            ..v1::ListWorkersResponse::default()
        };
        if listing.rows.len() > limit {
            listing.rows.truncate(limit);
            if let Some((shard, record)) = listing.rows.last() {
                let id = record
                    .worker_id
                    .as_ref()
                    .ok_or_else(|| Error::corrupt("a worker record has no identity"))?;
                response.cursor = Cursor {
                    shard: *shard,
                    after: WorkerId::try_from(id)?,
                }
                .encode();
            }
        }
        let mut names: HashMap<ComponentId, String> = HashMap::new();
        for (shard, record) in listing.rows {
            let id = record
                .worker_id
                .as_ref()
                .map(|id| ComponentId::from_slice(&id.component_id))
                .transpose()?;
            let id = id.ok_or_else(|| Error::corrupt("a worker record has no identity"))?;
            let name = match names.get(&id) {
                Some(name) => name.clone(),
                None => {
                    let name = self.registry.name_of(id, record.component_version.into()).await;
                    names.entry(id).or_insert(name).clone()
                }
            };
            response.workers.push(worker_info(record, name, shard)?);
        }
        Ok(response)
    }
}

/// What has been gathered for a page.
#[derive(Default)]
struct Listing {
    rows: Vec<(ShardId, v1::WorkerRecord)>,
    missing: Vec<u32>,
    as_of_ns: u64,
}

impl Listing {
    fn add(&mut self, shard: ShardId, page: v1::ScanShardResponse) {
        self.as_of_ns = self.as_of_ns.min(page.as_of_ns);
        self.rows
            .extend(page.workers.into_iter().map(|record| (shard, record)));
    }
}

fn check(filters: &[String]) -> Result<(), Error> {
    Filter::parse_all(filters)
        .map(|_| ())
        .map_err(|error| Error::invalid(error.to_string()))
}
