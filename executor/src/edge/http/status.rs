use std::{fmt::Write, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use kiln_proto::convert::json;
use serde_json::Value;

use crate::{
    edge::{Api, grpc},
    metrics::write_counter,
};

/// The process answers.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Every shard has an owner; otherwise 503 and what is missing.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, String) {
    if api.router.view.glance().is_ready() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let problems = grpc::status(&api.router.view.map()).problems;
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("{}\n", problems.join("\n")),
    )
}

/// Counters in Prometheus' text format.
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> String {
    let mut text = api.context.metrics.to_prometheus();
    let owned = api.router.shards.all_owned();
    let loaded: usize = owned.iter().map(|owned| owned.loaded_count()).sum();
    write_gauge(
        &mut text,
        "kiln_shards_owned",
        "Shards that this node owns.",
        owned.len(),
    );
    write_gauge(
        &mut text,
        "kiln_workers_in_memory",
        "Workers with an instance in memory.",
        loaded,
    );
    let held = api.context.residency.memory_held();
    write_gauge(
        &mut text,
        "kiln_memory_held_bytes",
        "Memory set aside for the workers in memory.",
        usize::try_from(held).unwrap_or(usize::MAX),
    );
    if let Some(store) = api.router.shards.store() {
        let stats = store.stats();
        write_counter(
            &mut text,
            "kiln_log_syncs_total",
            "Synced writes of the log.",
            stats.log_syncs,
        );
        write_counter(
            &mut text,
            "kiln_commits_total",
            "Commits asked of owned shards.",
            stats.operations,
        );
        write_counter(
            &mut text,
            "kiln_log_bytes_total",
            "Bytes written to the log.",
            stats.log_bytes,
        );
    }
    text
}

/// The cluster as the managers describe it, with what applications store.
pub(super) async fn cluster(State(api): State<Arc<Api>>) -> Json<Value> {
    Json(json::cluster_status(&grpc::status_with_usage(&api).await))
}

fn write_gauge(text: &mut String, name: &str, help: &str, value: usize) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
}
