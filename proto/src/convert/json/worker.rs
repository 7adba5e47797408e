use serde_json::{Map, Value as Json, json};

use crate::{
    convert::rfc3339,
    v1::{
        ChangeKind, CountWorkersResponse, ListWorkersResponse, ShardPart, UpdateRecord, WorkerEvent,
        WorkerInfo, WorkerStatus,
    },
};

/// The name of a status in filters, tables and JSON.
#[must_use]
pub fn status_name(status: WorkerStatus) -> &'static str {
    match status {
        WorkerStatus::Running => "running",
        WorkerStatus::Idle => "idle",
        WorkerStatus::Suspended => "suspended",
        WorkerStatus::WorkerInterrupted => "interrupted",
        WorkerStatus::Retrying => "retrying",
        WorkerStatus::Failed => "failed",
        WorkerStatus::Exited => "exited",
    }
}

/// A worker as `worker get` and the rows of `worker list` show it.
#[must_use]
pub fn worker(info: &WorkerInfo) -> Json {
    json!({
        "component": info.component,
        "componentId": info.component_id,
        "worker": info.worker,
        "status": status_name(info.status()),
        "version": info.version,
        "retryCount": info.retry_count,
        "createdAt": rfc3339(info.created_at_ns),
        "updatedAt": rfc3339(info.updated_at_ns),
        "args": info.args,
        "env": super::pairs(&info.env),
        "config": super::pairs(&info.config),
        "pendingInvocations": info.pending_invocations,
        "pendingUpdates": updates(&info.pending_updates),
        "successfulUpdates": updates(&info.successful_updates),
        "failedUpdates": updates(&info.failed_updates),
        "oplogIndex": info.oplog_index,
        "lastError": info.last_error,
        "componentSize": info.component_size,
        "totalLinearMemorySize": info.total_linear_memory_size,
        "shard": info.shard,
    })
}

fn updates(records: &[UpdateRecord]) -> Json {
    records
        .iter()
        .map(|record| match &record.details {
            None => json!({"targetVersion": record.target_version}),
            Some(details) => json!({"targetVersion": record.target_version, "details": details}),
        })
        .collect()
}

/// A page of workers.
#[must_use]
pub fn worker_list(page: &ListWorkersResponse) -> Json {
    let mut list = json!({
        "workers": page.workers.iter().map(worker).collect::<Vec<_>>(),
        "cursor": if page.cursor.is_empty() { Json::Null } else { page.cursor.as_str().into() },
        "asOf": rfc3339(page.as_of_ns),
    });
    add_shards(&mut list, &page.missing_shards, &page.parts);
    list
}

/// What shards contributed, and which ones are missing.
fn add_shards(json: &mut Json, missing: &[u32], parts: &[ShardPart]) {
    if !missing.is_empty() {
        json["missingShards"] = json!(missing);
    }
    json["shards"] = parts.iter().map(part).collect();
}

fn part(part: &ShardPart) -> Json {
    let mut json =
        json!({"shard": part.shard, "asOf": rfc3339(part.as_of_ns), "node": super::node_id(part.node_id)});
    if !part.index.is_empty() {
        json["index"] = part.index.as_str().into();
        json["rowsExamined"] = part.rows_examined.into();
        json["rowsReturned"] = part.rows_returned.into();
        json["elapsedUs"] = part.elapsed_us.into();
    }
    json
}

/// The name of a kind of change.
#[must_use]
pub fn change_kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Changed => "changed",
        ChangeKind::Left => "left",
        ChangeKind::Deleted => "deleted",
    }
}

/// A change of a worker, as a watch shows it.
#[must_use]
pub fn worker_event(event: &WorkerEvent) -> Json {
    json!({
        "event": change_kind(event.kind()),
        "component": event.component,
        "componentId": event.component_id,
        "worker": event.worker,
        "info": event.info.as_ref().map(worker),
    })
}

/// A count of workers, in total and by status; statuses that no worker has are left out.
#[must_use]
pub fn count(response: &CountWorkersResponse) -> Json {
    let by_status: Map<String, Json> = response
        .by_status
        .iter()
        .filter(|row| row.count > 0)
        .map(|row| (status_name(row.status()).to_owned(), row.count.into()))
        .collect();
    let mut json =
        json!({"count": response.count, "byStatus": by_status, "asOf": rfc3339(response.as_of_ns)});
    if !response.by_version.is_empty() {
        let by_version = response.by_version.iter();
        json["byVersion"] = by_version
            .map(|row| (row.version.to_string(), Json::from(row.count)))
            .collect::<Map<_, _>>()
            .into();
    }
    add_shards(&mut json, &response.missing_shards, &response.parts);
    json
}
