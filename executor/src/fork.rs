//! Making a new worker from the beginning of another one's oplog, here or on another shard.
//!
//! The entries are staged at the shard of the new worker, page by page, and published at once: nobody ever sees half of it,
//! and what a crash leaves behind is cleared by the shard's next owner. Every step may be repeated.

use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::{
    Error, ErrorCode,
    convert::now_ns,
    ids::WorkerId,
    v1::{
        self, OplogEntry, ShardOperation, StageOplog, WorkerRecord, oplog_entry::Entry,
        shard_operation::Operation as ShardWork,
    },
};
use prost::Message as _;
use uuid::Uuid;

use crate::{
    edge::Api,
    operations::On,
    requests::{Adopt, Flush},
    route::Patience,
    way_out::{GetRecord, OperateShard, by_id},
    worker::adopted_before,
};

/// Attempts at a copy whose target shard changes owners meanwhile.
const ATTEMPTS_MAX: usize = 8;
/// The least that makes a worker: Create and one entry more.
const CUTOFF_MIN: u64 = 2;

/// What is to be copied, and to where.
pub(crate) struct Fork {
    pub(crate) source: WorkerId,
    pub(crate) target: WorkerId,
    /// The last index that is copied.
    pub(crate) cutoff: u64,
    /// Entries that only the copy has, behind the copied ones.
    pub(crate) last: Vec<OplogEntry>,
    /// Names the fork.
    pub(crate) token: Bytes,
}

impl Api {
    /// Makes the copy and lets it go on from there.
    ///
    /// # Errors
    /// `INVALID` for a cutoff that makes no sense, `NOT_FOUND` without a source, `ALREADY_EXISTS` with a target.
    pub(crate) async fn fork(&self, fork: &Fork, patience: Patience) -> Result<(), Error> {
        if fork.cutoff < CUTOFF_MIN {
            return Err(Error::invalid(format!(
                "oplog_index_cut_off must be at least {CUTOFF_MIN}"
            )));
        }
        if fork.source.component != fork.target.component {
            return Err(Error::invalid("a worker and its fork are of one component"));
        }
        if let Some(existing) = self.record(&fork.target, patience).await? {
            return adopted_before(&existing, &fork.token);
        }
        let source = self.flush(&fork.source, patience).await?;
        if fork.cutoff > source.oplog_index {
            return Err(Error::invalid(format!(
                "oplog_index_cut_off is {}, but the last entry is {}",
                fork.cutoff, source.oplog_index
            )));
        }
        let mut lost = Error::unavailable("the copy was given up");
        for _ in 0..ATTEMPTS_MAX {
            match self.copy(fork, &source, patience).await {
                // What was staged is gone: the shard has a new owner.
                Err(error) if error.code == ErrorCode::Conflict => {
                    lost = Error::unavailable(format!("the copy was given up: {error}"));
                }
                other => return other,
            }
        }
        Err(lost)
    }

    /// One attempt. It stages under a token of its own: another attempt, this caller's or a repeated request's, may have come
    /// less far or still be under way.
    async fn copy(&self, fork: &Fork, source: &WorkerRecord, patience: Patience) -> Result<(), Error> {
        let token = Bytes::copy_from_slice(Uuid::new_v4().as_bytes());
        let mut next = 1;
        while next <= fork.cutoff {
            let mut page = self.page(fork, next, patience).await?;
            if next == 1 {
                rename(&mut page, fork)?;
            }
            let count = page.len() as u64;
            let stage = staged(&token, next, &page);
            self.stage(fork, stage, patience).await?;
            next += count;
        }
        if !fork.last.is_empty() {
            let stage = staged(&token, next, &fork.last);
            self.stage(fork, stage, patience).await?;
        }
        // The pages are of one worker only if it has not been deleted and made anew meanwhile.
        let now = self.record(&fork.source, patience).await?;
        if now.is_none_or(|now| now.created_at_ns != source.created_at_ns) {
            return Err(source_not_found());
        }
        let shard = self.router.shard_of(&fork.target)?;
        let adopt = v1::AdoptWorkerRequest {
            worker: Some((&fork.target).into()),
            token,
            fork_token: fork.token.clone(),
        };
        self.router
            .route(shard, patience, Arc::new(Adopt(adopt)))
            .await
            .map(|_| ())
    }

    /// Entries of the source from `next` on, up to the cutoff.
    async fn page(&self, fork: &Fork, next: u64, patience: Patience) -> Result<Vec<OplogEntry>, Error> {
        let shard = self.router.shard_of(&fork.source)?;
        let request = v1::GetOplogRequest {
            worker: Some(by_id(&fork.source)),
            from: next,
            limit: u32::MAX,
            ..v1::GetOplogRequest::default()
        };
        let page = self
            .router
            .route(shard, patience, On::new(fork.source.clone(), request))
            .await?;
        let wanted = page
            .entries
            .into_iter()
            .filter(|entry| entry.index <= fork.cutoff);
        let entries: Vec<OplogEntry> = wanted.filter_map(|entry| entry.entry).collect();
        if entries.is_empty() {
            return Err(source_not_found());
        }
        Ok(entries)
    }

    async fn stage(&self, fork: &Fork, stage: StageOplog, patience: Patience) -> Result<(), Error> {
        let shard = self.router.shard_of(&fork.target)?;
        let request = v1::OperateShardRequest {
            shard: shard.0,
            operation: Some(ShardOperation {
                operation: Some(ShardWork::StageOplog(stage)),
            }),
        };
        self.router
            .route(shard, patience, Arc::new(OperateShard(request)))
            .await
            .map(|_| ())
    }

    async fn record(&self, worker: &WorkerId, patience: Patience) -> Result<Option<WorkerRecord>, Error> {
        let shard = self.router.shard_of(worker)?;
        let request = v1::GetRecordRequest {
            worker: Some(worker.into()),
        };
        let found = self
            .router
            .route(shard, patience, Arc::new(GetRecord(request)))
            .await?;
        Ok(found.record)
    }

    async fn flush(&self, worker: &WorkerId, patience: Patience) -> Result<WorkerRecord, Error> {
        let shard = self.router.shard_of(worker)?;
        let request = v1::FlushWorkerRequest {
            worker: Some(worker.into()),
        };
        let flushed = self.router.route(shard, patience, Arc::new(Flush(request))).await;
        match flushed {
            Ok(flushed) => flushed.record.ok_or_else(source_not_found),
            Err(error) if error.code == ErrorCode::NotFound => Err(source_not_found()),
            Err(error) => Err(error),
        }
    }
}

fn staged(token: &Bytes, first_index: u64, entries: &[OplogEntry]) -> StageOplog {
    StageOplog {
        epoch: 0,
        token: token.clone(),
        first_index,
        entries: entries.iter().map(|entry| entry.encode_to_vec().into()).collect(),
    }
}

fn source_not_found() -> Error {
    Error::not_found("Worker not found")
}

/// Makes the Create entry that of the copy.
fn rename(page: &mut [OplogEntry], fork: &Fork) -> Result<(), Error> {
    let Some(OplogEntry {
        timestamp_ns,
        entry: Some(Entry::Create(create)),
    }) = page.first_mut()
    else {
        return Err(Error::corrupt(format!(
            "the oplog of worker {} does not begin with its creation",
            fork.source
        )));
    };
    *timestamp_ns = now_ns();
    create.worker_id = Some((&fork.target).into());
    create.fork_token = fork.token.clone();
    Ok(())
}
