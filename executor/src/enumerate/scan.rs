//! A page of one shard's workers.

use kiln_proto::{
    Error,
    ids::{ShardId, WorkerId},
    v1,
};
use kiln_store::{Shard, View};
use tokio_util::sync::CancellationToken;

use super::{
    local::{Local, Wanted, until},
    plan::{describe, plan},
    wire::{position_of, wire_position},
};

/// Rows looked at for one page; then the caller has to ask again, so that a rare filter does not block a shard.
const EXAMINED_MAX: u64 = 20_000;
/// Most rows of one page of a shard.
pub(super) const PAGE_MAX: usize = 1000;
/// Bytes of records after which a page ends, so that it fits in a message.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// A page of a shard, as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) shard: ShardId,
    pub(crate) wanted: Wanted,
    pub(crate) precise: bool,
    pub(crate) limit: usize,
    pub(crate) after: Option<v1::ShardPosition>,
    /// Nobody continues within the page, so that its rows need no positions.
    pub(crate) whole_pages: bool,
}

impl Scan {
    /// Reads a page from a replica. `running` are workers that run, as far as their owner is asked.
    pub(crate) fn read(
        &self,
        shard: &Shard,
        running: &[WorkerId],
        cancelled: &CancellationToken,
    ) -> Result<v1::ScanShardResponse, Error> {
        let mut response = shard.view(|view| self.page(view, running, cancelled))?;
        if let Some(part) = &mut response.part {
            part.shard = shard.id().0;
        }
        Ok(response)
    }

    fn page(
        &self,
        view: &View<'_>,
        running: &[WorkerId],
        cancelled: &CancellationToken,
    ) -> Result<v1::ScanShardResponse, Error> {
        let local = Local::new(view, &self.wanted, running)?;
        let after = self.after.as_ref().map(position_of).transpose()?;
        let path = plan(self.wanted.component, &self.wanted.filter, after.as_ref(), &local)?;
        let path = local.with_running(path);
        let limit = self.limit.clamp(1, PAGE_MAX);
        let mut response = v1::ScanShardResponse::default();
        let (mut examined, mut bytes) = (0u64, 0);
        view.search(&path, after.as_ref(), |mut hit| {
            examined += 1;
            if examined.is_multiple_of(256) && cancelled.is_cancelled() {
                return Err(Error::unavailable("nobody waits for the page any more"));
            }
            let position = |hit| path.position(hit).map(|position| wire_position(&position));
            if let Some(record) = local.pick(&mut hit)? {
                bytes += record.len();
                response.workers.push(record);
                if !self.whole_pages {
                    response.positions.extend(position(&hit));
                }
            }
            let is_full =
                response.workers.len() >= limit || bytes >= PAGE_BYTES_MAX || examined >= EXAMINED_MAX;
            if is_full {
                response.more = true;
                response.last_examined = position(&hit);
            }
            Ok(until(is_full))
        })?;
        response.part = Some(v1::ShardPart {
            index: describe(&path),
            rows_examined: examined,
            rows_returned: response.workers.len() as u64,
            elapsed_us: u64::try_from(local.began_at.elapsed().as_micros()).unwrap_or(u64::MAX),
            ..v1::ShardPart::default()
        });
        Ok(response)
    }
}
