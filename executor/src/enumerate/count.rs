//! How many of one shard's workers there are.

use std::collections::BTreeMap;

use kiln_proto::{
    Error,
    ids::{ShardId, WorkerId},
    v1::{self, WorkerStatus},
};
use kiln_store::{Shard, View};
use tokio_util::sync::CancellationToken;

use super::{
    filter::Known,
    local::{Local, Wanted, until},
    plan::{Statistics as _, describe, plan},
};

/// The number of a shard's workers, as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    pub(crate) shard: ShardId,
    pub(crate) wanted: Wanted,
    pub(crate) precise: bool,
}

/// Numbers of workers by status and version.
type Tallies = BTreeMap<(i32, u64), u64>;

/// The counters told, or rows had to be counted.
struct Counted {
    tallies: Tallies,
    index: String,
    rows_examined: u64,
}

impl Count {
    /// Counts in a replica. `running` are workers that run, as far as their owner is asked.
    pub(crate) fn read(
        &self,
        shard: &Shard,
        running: &[WorkerId],
        cancelled: &CancellationToken,
    ) -> Result<v1::CountShardResponse, Error> {
        shard.view(|view| self.count(view, running, cancelled))
    }

    fn count(
        &self,
        view: &View<'_>,
        running: &[WorkerId],
        cancelled: &CancellationToken,
    ) -> Result<v1::CountShardResponse, Error> {
        let local = Local::new(view, &self.wanted, running)?;
        let mut counted = match self.by_counters(&local) {
            Some(counted) => counted,
            None => self.by_rows(&local, cancelled)?,
        };
        correct(&local, &mut counted.tallies);
        let row = |((status, version), count): (&(i32, u64), &u64)| v1::Tally {
            status: *status,
            version: *version,
            count: *count,
        };
        Ok(v1::CountShardResponse {
            tallies: counted.tallies.iter().map(row).collect(),
            part: Some(v1::ShardPart {
                shard: self.shard.0,
                index: counted.index,
                rows_examined: counted.rows_examined,
                elapsed_us: u64::try_from(local.began_at.elapsed().as_micros()).unwrap_or(u64::MAX),
                ..v1::ShardPart::default()
            }),
        })
    }

    /// `None` when status and version do not decide.
    fn by_counters(&self, local: &Local<'_>) -> Option<Counted> {
        let mut tallies = Tallies::new();
        let is_asked = |of| self.wanted.component.is_none_or(|component| component == of);
        let counters = local.tallies().iter().filter(|tally| is_asked(tally.component));
        let mut rows_examined = 0;
        for tally in counters {
            rows_examined += 1;
            let known = Known {
                status: Some(tally.status),
                version: Some(tally.version),
                ..Known::default()
            };
            if self.wanted.filter.judge(&known)? {
                *tallies.entry((tally.status as i32, tally.version)).or_default() += tally.count;
            }
        }
        Some(Counted {
            tallies,
            index: "counters".into(),
            rows_examined,
        })
    }

    fn by_rows(&self, local: &Local<'_>, cancelled: &CancellationToken) -> Result<Counted, Error> {
        let path = plan(self.wanted.component, &self.wanted.filter, None, local)?;
        let mut counted = Counted {
            tallies: Tallies::new(),
            index: describe(&path),
            rows_examined: 0,
        };
        local.view.search(&path, None, |mut hit| {
            counted.rows_examined += 1;
            if counted.rows_examined.is_multiple_of(256) && cancelled.is_cancelled() {
                return Err(Error::unavailable("nobody waits for the count any more"));
            }
            if let Some((status, version)) = local.tally(&mut hit)? {
                *counted.tallies.entry((status as i32, version)).or_default() += 1;
            }
            Ok(until(false))
        })?;
        Ok(counted)
    }
}

/// Moves workers that run from where they are recorded to where they are.
fn correct(local: &Local<'_>, tallies: &mut Tallies) {
    for running in local.running() {
        if local.is_wanted(&running.recorded) {
            let key = (running.recorded.status, running.recorded.component_version);
            let count = tallies.entry(key).or_default();
            *count = count.saturating_sub(1);
        }
        if local.is_wanted(&running.now) {
            let key = (WorkerStatus::Running as i32, running.now.component_version);
            *tallies.entry(key).or_default() += 1;
        }
    }
    tallies.retain(|_, count| *count > 0);
}
