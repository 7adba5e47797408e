//! All shards as one: pages and counts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesOrdered};
use kiln_proto::{Error, ErrorCode, convert::now_ns, ids::ShardId, v1};

use super::{
    Count, Scan,
    ask::ask,
    cursor::{Cursors, Mark},
    query::{Page, Query, rows_of},
};
use crate::{
    registry::Registry,
    route::{Patience, Router},
};

/// Shards asked at first: often they fill a page.
const CONCURRENCY_FIRST: usize = 4;
/// Shards asked at the same time for one caller, when each has little to tell.
const CONCURRENCY_MAX: usize = 64;
/// A shard without an owner gets this long to find one: elections take less.
const OWNER_PATIENCE: Duration = Duration::from_secs(10);
/// The same, when the rest is wanted without it.
const PARTIAL_PATIENCE: Duration = Duration::from_secs(3);

/// Lists, counts and watches workers over all shards.
pub(crate) struct Enumerator {
    pub(crate) router: Arc<Router>,
    pub(crate) registry: Arc<Registry>,
}

impl Enumerator {
    /// One page of at most `limit` workers, behind a mark. Marks stay good for ever, wherever shards are.
    ///
    /// # Errors
    /// `UNAVAILABLE` with the shards that are missing, unless the query does without; what a shard says.
    pub(crate) async fn page(
        &self,
        query: &Query,
        after: Option<&Mark>,
        limit: usize,
        patience: Patience,
    ) -> Result<Page, Error> {
        let shards = self.shard_count()?;
        let mut next = after.map_or(0, |mark| mark.shard.0);
        let mut asked = FuturesOrdered::new();
        let mut width = CONCURRENCY_FIRST;
        let mut gathered = Gathered::new(query.allow_partial);
        loop {
            while next < shards && asked.len() < width && gathered.page.rows.len() <= limit {
                let shard = ShardId(next);
                let after = after.filter(|mark| mark.shard == shard);
                let scan = Scan {
                    shard,
                    wanted: query.wanted.clone(),
                    precise: query.precise,
                    // One more than wanted shows whether there is another page.
                    limit: limit + 1,
                    after: after.and_then(|mark| mark.after.clone()),
                    whole_pages: false,
                };
                asked.push_back(async move { (shard, self.scan(scan, query, patience).await) });
                next += 1;
            }
            let Some((shard, answer)) = asked.next().await else {
                break;
            };
            gathered.add(shard, answer)?;
            if gathered.page.rows.len() > limit {
                break;
            }
            width = (2 * width).min(CONCURRENCY_MAX);
        }
        drop(asked);
        gathered.finish(limit)
    }

    /// How many workers there are, by status and version.
    ///
    /// # Errors
    /// As for [`page`](Self::page).
    pub(crate) async fn tally(&self, query: &Query, patience: Patience) -> Result<Tallied, Error> {
        let shards = self.shard_count()?;
        let mut answers = futures::stream::iter((0..shards).map(ShardId))
            .map(|shard| async move {
                let count = Count {
                    shard,
                    wanted: query.wanted.clone(),
                    precise: query.precise,
                };
                (shard, self.count_shard(count, query, patience).await)
            })
            .buffered(CONCURRENCY_MAX);
        let mut gathered = Gathered::new(query.allow_partial);
        let mut tallies: BTreeMap<(i32, u64), u64> = BTreeMap::new();
        while let Some((shard, answer)) = answers.next().await {
            let Some(answer) = gathered.keep(shard, answer)? else {
                continue;
            };
            for tally in answer.tallies {
                *tallies.entry((tally.status, tally.version)).or_default() += tally.count;
            }
            gathered.part(answer.part);
        }
        drop(answers);
        let page = gathered.finish(0)?;
        Ok(Tallied { tallies, page })
    }

    pub(super) fn cursors(&self, query: &Query) -> Result<Cursors, Error> {
        Cursors::new(&self.router.view.glance(), &query.wanted)
    }

    pub(super) fn shard_count(&self) -> Result<u32, Error> {
        let map = self.router.view.glance();
        if map.is_founded() {
            Ok(map.wire.shard_count)
        } else {
            Err(Error::unavailable("this node has no cluster map yet"))
        }
    }

    /// All rows of a shard that fit, over as many pages as the shard makes of them.
    async fn scan(
        &self,
        mut scan: Scan,
        query: &Query,
        patience: Patience,
    ) -> Result<v1::ScanShardResponse, Error> {
        let wanted = scan.limit;
        let mut all = self.scan_page(scan.clone(), query, patience).await?;
        while all.more && all.workers.len() < wanted {
            scan.after = all.last_examined.take();
            scan.limit = wanted - all.workers.len();
            let page = self.scan_page(scan.clone(), query, patience).await?;
            all.workers.extend(page.workers);
            all.positions.extend(page.positions);
            all.more = page.more;
            all.last_examined = page.last_examined;
            if let (Some(part), Some(next)) = (&mut all.part, page.part) {
                part.as_of_ns = part.as_of_ns.min(next.as_of_ns);
                part.rows_examined += next.rows_examined;
                part.rows_returned += next.rows_returned;
                part.elapsed_us += next.elapsed_us;
            }
        }
        Ok(all)
    }

    pub(super) async fn scan_page(
        &self,
        scan: Scan,
        query: &Query,
        patience: Patience,
    ) -> Result<v1::ScanShardResponse, Error> {
        let patience = self.patience(scan.shard, query, patience)?;
        ask(&self.router, scan, patience).await
    }

    async fn count_shard(
        &self,
        count: Count,
        query: &Query,
        patience: Patience,
    ) -> Result<v1::CountShardResponse, Error> {
        let patience = self.patience(count.shard, query, patience)?;
        ask(&self.router, count, patience).await
    }

    /// How long one shard is waited for. It is known at once of a shard without a majority that nobody will answer.
    fn patience(&self, shard: ShardId, query: &Query, patience: Patience) -> Result<Patience, Error> {
        if query.precise && query.allow_partial && !self.router.has_majority(shard) {
            return Err(Error::unavailable(format!("shard {shard} has no majority")));
        }
        let longest = if query.allow_partial {
            PARTIAL_PATIENCE
        } else {
            OWNER_PATIENCE
        };
        let limit = Patience::of(Some(longest));
        Ok(Patience {
            deadline: match (patience.deadline, limit.deadline) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            ..patience
        })
    }
}

/// Numbers of workers by status and version, and a page without rows that says how they came about.
pub(crate) struct Tallied {
    pub(crate) tallies: BTreeMap<(i32, u64), u64>,
    pub(crate) page: Page,
}

/// What has come in from shards, in their order.
struct Gathered {
    page: Page,
    allow_partial: bool,
    last_failure: Option<Error>,
}

impl Gathered {
    fn new(allow_partial: bool) -> Self {
        Self {
            page: Page {
                rows: Vec::new(),
                next: None,
                as_of_ns: now_ns(),
                missing: Vec::new(),
                parts: Vec::new(),
            },
            allow_partial,
            last_failure: None,
        }
    }

    fn add(&mut self, shard: ShardId, answer: Result<v1::ScanShardResponse, Error>) -> Result<(), Error> {
        if let Some(mut answer) = self.keep(shard, answer)? {
            self.part(answer.part.take());
            self.page.rows.extend(rows_of(shard, answer)?);
        }
        Ok(())
    }

    /// Takes note of a shard that cannot answer. Other failures end the whole.
    fn keep<T>(&mut self, shard: ShardId, answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_absence(&error) => {
                self.page.missing.push(shard.0);
                self.last_failure = Some(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn part(&mut self, part: Option<v1::ShardPart>) {
        if let Some(part) = part {
            self.page.as_of_ns = self.page.as_of_ns.min(part.as_of_ns);
            self.page.parts.push(part);
        }
    }

    fn finish(mut self, limit: usize) -> Result<Page, Error> {
        if let Some(failure) = self.last_failure
            && !self.allow_partial
        {
            return Err(incomplete(&self.page.missing, &failure));
        }
        if self.page.rows.len() > limit {
            self.page.rows.truncate(limit);
            self.page.next = self.page.rows.last().map(super::query::Row::mark).transpose()?;
        }
        Ok(self.page)
    }
}

/// The shard is not there; it has not refused.
pub(super) fn is_absence(error: &Error) -> bool {
    error.is_retryable() || error.code == ErrorCode::DeadlineExceeded
}

pub(super) fn incomplete(missing: &[u32], last: &Error) -> Error {
    let shards: Vec<_> = missing.iter().map(ToString::to_string).collect();
    let (noun, verb) = if missing.len() == 1 {
        ("shard", "does")
    } else {
        ("shards", "do")
    };
    Error::unavailable(format!(
        "{noun} {} {verb} not answer, so the answer would be incomplete: {last}",
        shards.join(", ")
    ))
    .with_hint("try again, or ask for partial results: --partial, or `allow_partial`")
}
