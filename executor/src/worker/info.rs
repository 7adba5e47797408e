//! A worker as operators see it.

use crate::invoke::outcome;
use kiln_proto::{
    Error,
    ids::{ComponentId, ShardId},
    v1::{WorkerInfo, WorkerRecord},
};

/// Puts a stored record into the form that callers get.
///
/// # Errors
/// `CORRUPT` for a record without an identity.
pub(crate) fn worker_info(
    record: WorkerRecord,
    component: String,
    shard: ShardId,
) -> Result<WorkerInfo, Error> {
    let status = record.status();
    let id = record
        .worker_id
        .ok_or_else(|| Error::corrupt("a worker record has no identity"))?;
    Ok(WorkerInfo {
        component,
        component_id: ComponentId::from_slice(&id.component_id)?.to_string(),
        worker: id.name,
        status: status.into(),
        version: record.component_version,
        retry_count: record.retry_count,
        created_at_ns: record.created_at_ns,
        args: record.args,
        env: record.env,
        config: record.config,
        pending_invocations: record.pending_invocations.len() as u64,
        pending_updates: record.pending_updates,
        successful_updates: record.successful_updates,
        failed_updates: record.failed_updates,
        oplog_index: record.oplog_index,
        last_error: record.last_error.as_ref().map(outcome::described),
        component_size: record.component_size,
        total_linear_memory_size: record.total_linear_memory_size,
        updated_at_ns: record.updated_at_ns,
        shard: shard.0,
    })
}
