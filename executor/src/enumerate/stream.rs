//! All workers, one page after another, as fast as they are taken.

use std::{collections::VecDeque, sync::Arc};

use kiln_proto::{Error, ids::ShardId, v1};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Enumerator, Scan,
    cursor::Mark,
    fan_out::{incomplete, is_absence},
    query::{Page, Query, rows_of},
    scan::PAGE_MAX,
};
use crate::route::Patience;

/// Shards that are read ahead.
const SHARDS_AHEAD: usize = 8;
/// Pages of each of them that wait to be taken, beside the one that is being read.
const PAGES_AHEAD: usize = 1;

/// What a shard's reader sends.
type Answer = Result<v1::ScanShardResponse, Error>;

/// The pages of a list. Reading stops when it is dropped, and waits while nothing is taken.
pub(crate) struct Pages {
    enumerator: Arc<Enumerator>,
    query: Arc<Query>,
    limit: usize,
    patience: Patience,
    shards: u32,
    next: ShardId,
    after: Option<v1::ShardPosition>,
    ahead: VecDeque<Reader>,
}

/// Reads one shard ahead.
struct Reader {
    shard: ShardId,
    answers: mpsc::Receiver<Answer>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pages {
    /// Begins behind a mark. `limit` is the number of rows a page, 0 for the most that there can be.
    ///
    /// # Errors
    /// `UNAVAILABLE` before the cluster is founded.
    pub(crate) fn begin(
        enumerator: Arc<Enumerator>,
        query: Query,
        after: Option<Mark>,
        limit: usize,
        patience: Patience,
    ) -> Result<Self, Error> {
        let shards = enumerator.shard_count()?;
        let (next, after) = after.map_or((ShardId(0), None), |mark| (mark.shard, mark.after));
        Ok(Self {
            enumerator,
            query: Arc::new(query),
            limit: if limit == 0 { PAGE_MAX } else { limit.min(PAGE_MAX) },
            patience,
            shards,
            next,
            after,
            ahead: VecDeque::new(),
        })
    }

    /// The next page, with a mark to go on behind it; `None` after the last one.
    ///
    /// # Errors
    /// As for [`Enumerator::page`].
    pub(crate) async fn next(&mut self) -> Option<Result<Page, Error>> {
        loop {
            self.read_ahead();
            let reader = self.ahead.front_mut()?;
            let shard = reader.shard;
            let Some(answer) = reader.answers.recv().await else {
                self.ahead.pop_front();
                continue;
            };
            return Some(self.page(shard, answer));
        }
    }

    fn read_ahead(&mut self) {
        while self.next.0 < self.shards && self.ahead.len() < SHARDS_AHEAD {
            let scan = Scan {
                shard: self.next,
                wanted: self.query.wanted.clone(),
                precise: self.query.precise,
                limit: self.limit,
                after: self.after.take(),
                whole_pages: true,
            };
            let (answers, receiver) = mpsc::channel(PAGES_AHEAD);
            let (enumerator, query) = (self.enumerator.clone(), self.query.clone());
            let patience = self.patience;
            self.ahead.push_back(Reader {
                shard: self.next,
                answers: receiver,
                task: tokio::spawn(async move { read(&enumerator, &query, scan, patience, answers).await }),
            });
            self.next = ShardId(self.next.0 + 1);
        }
    }

    /// The shard that did not answer, and those that cannot, as far as is known.
    fn missing(&self, shard: ShardId) -> Vec<u32> {
        let router = &self.enumerator.router;
        let is_missing = |other: &u32| *other == shard.0 || !router.has_majority(ShardId(*other));
        (0..self.shards).filter(is_missing).collect()
    }

    fn page(&self, shard: ShardId, answer: Answer) -> Result<Page, Error> {
        let mut page = Page {
            rows: Vec::new(),
            next: Some(Mark {
                shard: ShardId(shard.0 + 1),
                after: None,
            }),
            as_of_ns: kiln_proto::convert::now_ns(),
            missing: Vec::new(),
            parts: Vec::new(),
        };
        match answer {
            Ok(mut answer) => {
                if answer.more {
                    let after = answer.last_examined.take();
                    page.next = Some(Mark { shard, after });
                }
                if let Some(part) = answer.part.take() {
                    page.as_of_ns = part.as_of_ns;
                    page.parts.push(part);
                }
                page.rows = rows_of(shard, answer)?;
            }
            Err(error) if is_absence(&error) && self.query.allow_partial => page.missing.push(shard.0),
            Err(error) if is_absence(&error) => return Err(incomplete(&self.missing(shard), &error)),
            Err(error) => return Err(error),
        }
        Ok(page)
    }
}

/// Reads a shard to its end, or as far as somebody takes it.
async fn read(
    enumerator: &Enumerator,
    query: &Query,
    mut scan: Scan,
    patience: Patience,
    answers: mpsc::Sender<Answer>,
) {
    loop {
        let answer = enumerator.scan_page(scan.clone(), query, patience).await;
        let next = answer.as_ref().ok().filter(|answer| answer.more);
        scan.after = next.and_then(|answer| answer.last_examined.clone());
        if answers.send(answer).await.is_err() || scan.after.is_none() {
            return;
        }
    }
}
