use std::sync::Arc;

use kiln_proto::{
    Error,
    convert::now_ns,
    ids::{ComponentId, WorkerId},
    v1::{self, shard_service_client::ShardServiceClient},
};
use kiln_store::Shard;
use tonic::{Response, Status, transport::Channel};

use super::filter::Filter;
use crate::{
    route::{Operation, RemoteCall},
    shard::Owned,
};

/// Records read at a time.
const CHUNK: usize = 256;
/// Records looked at for one page; then the caller has to ask again, so that a rare filter does not block a shard.
const EXAMINED_MAX: usize = 20_000;
/// Most rows of one page of a shard.
pub(super) const PAGE_MAX: usize = 1000;
const STATUSES: usize = 7;

/// A page of one shard's workers, from its owner.
pub(crate) struct ScanShard(pub(crate) v1::ScanShardRequest);

/// One shard's number of workers by status, from its owner.
pub(crate) struct CountShard(pub(crate) v1::CountShardRequest);

impl Operation for ScanShard {
    type Reply = v1::ScanShardResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::ScanShardResponse, Error> {
        if self.0.precise {
            owned.shard.barrier().await?;
        }
        scan_rows(&owned.shard, &self.0, |id, record| owned.overlay(id, record))
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::ScanShardResponse>, Status> {
        client(&call).scan_shard(call.request(self.0.clone())).await
    }
}

impl Operation for CountShard {
    type Reply = v1::CountShardResponse;

    async fn here(self: Arc<Self>, owned: Arc<Owned>) -> Result<v1::CountShardResponse, Error> {
        if self.0.precise {
            owned.shard.barrier().await?;
        }
        count_rows(&owned.shard, &self.0, |id, record| owned.overlay(id, record))
    }

    async fn there(&self, call: RemoteCall) -> Result<Response<v1::CountShardResponse>, Status> {
        client(&call).count_shard(call.request(self.0.clone())).await
    }
}

/// Reads a page from a replica. `overlay` adds what is not recorded yet.
pub(crate) fn scan_rows(
    shard: &Shard,
    request: &v1::ScanShardRequest,
    overlay: impl Fn(&WorkerId, &mut v1::WorkerRecord),
) -> Result<v1::ScanShardResponse, Error> {
    let filter = parse(&request.filters)?;
    let component = component(&request.component_id)?;
    let limit = (request.limit as usize).clamp(1, PAGE_MAX);
    let mut after = request.after.as_ref().map(WorkerId::try_from).transpose()?;
    let mut response = v1::ScanShardResponse {
        as_of_ns: as_of_ns(shard),
        ..Default::default()
    };
    let mut examined = 0;
    loop {
        let chunk = shard.scan_workers(component, after.as_ref(), CHUNK)?;
        let is_last = chunk.len() < CHUNK;
        for mut record in chunk {
            let id = identity(&record)?;
            overlay(&id, &mut record);
            examined += 1;
            let is_match = filter.matches(&record);
            if is_match {
                response.workers.push(record);
            }
            if response.workers.len() == limit || examined == EXAMINED_MAX {
                response.more = true;
                response.last_examined = Some((&id).into());
                return Ok(response);
            }
            after = Some(id);
        }
        if is_last {
            return Ok(response);
        }
    }
}

/// Counts the workers of a replica by status.
pub(crate) fn count_rows(
    shard: &Shard,
    request: &v1::CountShardRequest,
    overlay: impl Fn(&WorkerId, &mut v1::WorkerRecord),
) -> Result<v1::CountShardResponse, Error> {
    let filter = parse(&request.filters)?;
    let component = component(&request.component_id)?;
    let mut by_status = vec![0; STATUSES];
    let mut count = |status: v1::WorkerStatus, number: u64| {
        if let Some(counter) = by_status.get_mut(status as usize) {
            *counter += number;
        }
    };
    if filter.is_trivial() {
        for (_, status, number) in shard.counts(component)? {
            count(status, number);
        }
        return Ok(v1::CountShardResponse { by_status });
    }
    let mut after: Option<WorkerId> = None;
    loop {
        let chunk = shard.scan_workers(component, after.as_ref(), CHUNK)?;
        let is_last = chunk.len() < CHUNK;
        for mut record in chunk {
            let id = identity(&record)?;
            overlay(&id, &mut record);
            if filter.matches(&record) {
                count(record.status(), 1);
            }
            after = Some(id);
        }
        if is_last {
            return Ok(v1::CountShardResponse { by_status });
        }
    }
}

fn parse(filters: &[String]) -> Result<Filter, Error> {
    Filter::parse_all(filters).map_err(|error| Error::invalid(error.to_string()))
}

fn component(bytes: &[u8]) -> Result<Option<ComponentId>, Error> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        ComponentId::from_slice(bytes).map(Some)
    }
}

fn identity(record: &v1::WorkerRecord) -> Result<WorkerId, Error> {
    let id = record
        .worker_id
        .as_ref()
        .ok_or_else(|| Error::corrupt("a worker record has no identity"))?;
    WorkerId::try_from(id)
}

fn as_of_ns(shard: &Shard) -> u64 {
    let age_ns = u64::try_from(shard.applied_at().elapsed().as_nanos()).unwrap_or(u64::MAX);
    now_ns().saturating_sub(age_ns)
}

fn client(call: &RemoteCall) -> ShardServiceClient<Channel> {
    ShardServiceClient::new(call.channel.clone())
        .max_decoding_message_size(call.message_bytes_max)
        .max_encoding_message_size(call.message_bytes_max)
}
