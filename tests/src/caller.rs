//! Any function of any worker, as text.

use std::time::Duration;

use anyhow::{Context, Result};
use kiln_client::{Address, Client, Error, Options};
use kiln_proto::convert::to_wave;
use kiln_proto::v1::{
    InterruptWorkerRequest, InvokeRequest, WaveArguments, WorkerRef, invoke_request::Arguments,
    worker_service_client::WorkerServiceClient,
};

use crate::cluster::lazy_channel;
use crate::wait::eventually;

/// Longer than any failover: every call has an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that takes and gives values as WAVE.
#[derive(Debug, Clone)]
pub struct WaveCaller {
    client: Client,
    endpoints: Vec<String>,
}

impl WaveCaller {
    /// A client of a cluster with these endpoints.
    ///
    /// # Errors
    /// One of them is no URL.
    pub fn new(endpoints: Vec<String>) -> Result<Self> {
        let mut options = Options::new(Address::parse_list(&endpoints.join(","))?);
        options.deadline = PATIENCE;
        options.first_contact = PATIENCE;
        Ok(Self {
            client: Client::new(options)?,
            endpoints,
        })
    }

    /// Calls a function of `COMPONENT/WORKER`; an empty key asks for a fresh one.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn call(
        &self,
        worker: &str,
        function: &str,
        arguments: Vec<String>,
        key: &str,
    ) -> Result<String, Error> {
        let request = InvokeRequest {
            worker: Some(reference(worker)),
            function: function.into(),
            arguments: Some(Arguments::Wave(WaveArguments { values: arguments })),
            idempotency_key: key.into(),
            ..InvokeRequest::default()
        };
        let answer = self.client.invoke(request).await?;
        Ok(answer.result.as_ref().map(to_wave).unwrap_or_default())
    }

    /// The index of a worker's last entry.
    ///
    /// # Errors
    /// There is no such worker.
    pub async fn oplog_len(&self, worker: &str) -> Result<u64, Error> {
        Ok(self.client.get_worker(reference(worker)).await?.oplog_index)
    }

    /// Drops a worker's instance as a crash of the worker alone would.
    ///
    /// # Errors
    /// No node could be asked in time.
    pub async fn crash(&self, worker: &str) -> Result<()> {
        let request = InterruptWorkerRequest {
            worker: Some(reference(worker)),
            recover_immediately: true,
        };
        let mut endpoints = self.endpoints.iter().cycle();
        eventually("the worker is crashed", PATIENCE, async || {
            let endpoint = endpoints.next().context("a cluster has executors")?;
            let mut workers = WorkerServiceClient::new(lazy_channel(endpoint)?);
            workers.interrupt_worker(request.clone()).await?;
            Ok(Some(()))
        })
        .await
    }
}

fn reference(worker: &str) -> WorkerRef {
    let (component, worker) = worker.split_once('/').unwrap_or((worker, ""));
    WorkerRef {
        component: component.into(),
        worker: worker.into(),
    }
}
