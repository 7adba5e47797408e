//! `kiln bench list`: how long pages, counts and a full scan take.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use kiln_client::Client;
use kiln_proto::v1::{CountWorkersRequest, ListWorkersRequest};
use serde_json::{Value as Json, json};

use crate::{args::Global, output::Progress};

const LATENCY_MAX_US: u64 = 600_000_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component
    #[arg(long, default_value = "counter")]
    component: String,
    /// Condition of the page that is measured
    #[arg(long, default_value = "env.GROUP = 7")]
    filter: String,
    /// Rows of that page
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// How often each is measured
    #[arg(short = 'n', long, default_value_t = 100)]
    repeat: u32,
    /// Leave the full scan out
    #[arg(long)]
    no_scan: bool,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let client = Client::new(global.client_options())?;
    let progress = Progress::spinner("measuring");
    let mut report = json!({
        "pageCached": page(&client, &args, false).await?,
        "pagePrecise": page(&client, &args, true).await?,
        "countCached": count(&client, &args, false).await?,
        "countPrecise": count(&client, &args, true).await?,
    });
    if !args.no_scan {
        progress.message("reading everything");
        report["scanPrecise"] = scan(&client, &args).await?;
    }
    progress.finish();
    global.output().print(&report, || {
        let lines = report.as_object().into_iter().flatten();
        lines
            .map(|(name, figures)| format!("{name:14} {figures}"))
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// The first page of a filter.
async fn page(client: &Client, args: &Args, precise: bool) -> anyhow::Result<Json> {
    let request = ListWorkersRequest {
        component: args.component.clone(),
        filters: vec![args.filter.clone()],
        limit: args.limit,
        precise,
        explain: true,
        ..ListWorkersRequest::default()
    };
    let mut latencies = latencies();
    let (mut rows, mut examined) = (0, 0);
    for _ in 0..args.repeat {
        let began_at = Instant::now();
        let page = client.list_workers(request.clone()).await?;
        record(&mut latencies, began_at.elapsed());
        rows = page.workers.len();
        examined = page.parts.iter().map(|part| part.rows_examined).sum();
    }
    let mut figures = figures(&latencies);
    figures["rows"] = rows.into();
    figures["rowsExamined"] = examined.into();
    Ok(figures)
}

/// The number of all workers by status.
async fn count(client: &Client, args: &Args, precise: bool) -> anyhow::Result<Json> {
    let request = CountWorkersRequest {
        component: args.component.clone(),
        precise,
        ..CountWorkersRequest::default()
    };
    let mut latencies = latencies();
    let mut workers = 0;
    for _ in 0..args.repeat {
        let began_at = Instant::now();
        workers = client.count_workers(request.clone()).await?.count;
        record(&mut latencies, began_at.elapsed());
    }
    let mut figures = figures(&latencies);
    figures["workers"] = workers.into();
    Ok(figures)
}

/// All workers, one page after another.
async fn scan(client: &Client, args: &Args) -> anyhow::Result<Json> {
    let mut pages = client.stream_workers(ListWorkersRequest {
        component: args.component.clone(),
        precise: true,
        ..ListWorkersRequest::default()
    });
    let began_at = Instant::now();
    let mut workers = 0;
    while let Some(page) = pages.next().await? {
        workers += page.workers.len();
    }
    let seconds = began_at.elapsed().as_secs_f64();
    Ok(json!({
        "workers": workers,
        "seconds": seconds,
        "workersPerSecond": (workers as f64 / seconds.max(f64::EPSILON)).round(),
    }))
}

fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are valid")
}

fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

fn figures(latencies: &Histogram<u64>) -> Json {
    let ms = |percentile: f64| latencies.value_at_percentile(percentile) as f64 / 1000.0;
    json!({"p50Ms": ms(50.0), "p99Ms": ms(99.0)})
}
