//! `kiln bench populate`: creates workers, each by a call of its own, as any client would.

use std::{path::PathBuf, time::Instant};

use futures::{StreamExt, TryStreamExt};
use kiln_client::Client;
use kiln_proto::v1::{CreateWorkerRequest, KeyValue, WorkerRef};
use serde_json::json;

use super::component;
use crate::{args::Global, output::Progress};

/// The variable by which a thousandth of the workers is told from the others.
const GROUP: &str = "GROUP";
/// Workers between two looks at the progress.
const PROGRESS_STEP: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component
    #[arg(long, default_value = "counter")]
    component: String,
    /// Add this .wasm file as the component first, with GROUP as an indexed variable, unless there is one of that name
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Number of the first worker: they are called w-0000000 and so on
    #[arg(long, default_value_t = 0)]
    from: u32,
    /// Workers that are created
    #[arg(short, long, default_value_t = 10_000)]
    workers: u32,
    /// Groups: worker N has the environment variable GROUP=N modulo this
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    groups: u32,
    /// Calls in flight
    #[arg(short, long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let client = Client::new(global.client_options())?;
    if let Some(file) = &args.file {
        let indexed = vec![GROUP.to_owned()];
        component::ensure(&client, &args.component, file, indexed).await?;
    }
    let progress = Progress::count("creating workers", args.workers as usize);
    let began_at = Instant::now();
    let numbers = args.from..args.from.saturating_add(args.workers);
    futures::stream::iter(numbers.clone())
        .map(|number| {
            let (client, request) = (&client, request(&args, number));
            async move { client.create_worker(request).await.map(|_| number) }
        })
        .buffer_unordered(args.concurrency as usize)
        .try_for_each(|number| {
            if number.is_multiple_of(PROGRESS_STEP) {
                progress.set((number - args.from) as usize);
            }
            futures::future::ready(Ok(()))
        })
        .await?;
    progress.finish();
    let seconds = began_at.elapsed().as_secs_f64();
    let per_second = f64::from(args.workers) / seconds.max(f64::EPSILON);
    let json = json!({
        "workers": args.workers,
        "first": args.from,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "workersPerSecond": per_second.round(),
    });
    global.output().print(&json, || {
        format!(
            "created {} workers in {seconds:.1} s, {per_second:.0} a second",
            args.workers
        )
    })
}

fn request(args: &Args, number: u32) -> CreateWorkerRequest {
    CreateWorkerRequest {
        worker: Some(WorkerRef {
            component: args.component.clone(),
            worker: format!("w-{number:07}"),
        }),
        env: vec![KeyValue {
            key: GROUP.to_owned(),
            value: (number % args.groups).to_string(),
        }],
        // A run that was broken off can be repeated.
        ignore_existing: true,
        ..CreateWorkerRequest::default()
    }
}
