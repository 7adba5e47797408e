//! A client that outlasts failovers, with arguments and results as WAVE text.

use std::time::Duration;

use anyhow::{Context, Result};
use kiln_client::{Address, Client, Error, Options};
use kiln_proto::convert::to_wave;
use kiln_proto::v1::{
    GetOplogRequest, InvokeRequest, WaveArguments, WorkerInfo, WorkerRef, invoke_request::Arguments,
    oplog_entry::Entry,
};

use crate::cluster::Cluster;

/// Calls workers, and waits for owners that are being replaced.
#[derive(Debug, Clone)]
pub struct PatientClient(pub Client);

impl PatientClient {
    /// A client that gives a call up after `patience`.
    ///
    /// # Errors
    /// One of the cluster's endpoints is no URL.
    pub fn new(cluster: &Cluster, patience: Duration) -> Result<Self> {
        let mut options = Options::new(Address::parse_list(&cluster.endpoints().join(","))?);
        options.deadline = patience;
        options.first_contact = patience;
        Ok(Self(Client::new(options)?))
    }

    /// Calls a function of `COMPONENT/WORKER`; an empty key asks for a fresh one.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn wave(
        &self,
        worker: &str,
        function: &str,
        arguments: &[&str],
        key: &str,
    ) -> Result<String, Error> {
        let values = arguments.iter().map(|text| (*text).to_owned()).collect();
        let request = InvokeRequest {
            worker: Some(reference(worker)),
            function: function.into(),
            arguments: Some(Arguments::Wave(WaveArguments { values })),
            idempotency_key: key.into(),
            ..InvokeRequest::default()
        };
        let answer = self.0.invoke(request).await?;
        Ok(answer.result.as_ref().map(to_wave).unwrap_or_default())
    }

    /// What `COMPONENT/WORKER` has given to its log, in order.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn log(&self, worker: &str) -> Result<Vec<String>> {
        let mut request = GetOplogRequest {
            worker: Some(reference(worker)),
            from: 1,
            ..GetOplogRequest::default()
        };
        let mut log = Vec::new();
        while request.from != 0 {
            let page = self.0.oplog(request.clone()).await.context(worker.to_owned())?;
            request.from = page.next;
            let entries = page.entries.into_iter().filter_map(|entry| entry.entry?.entry);
            log.extend(entries.filter_map(|entry| match entry {
                Entry::Log(line) => Some(line.message),
                _ => None,
            }));
        }
        Ok(log)
    }

    /// What the cluster knows of `COMPONENT/WORKER`.
    ///
    /// # Errors
    /// What the cluster says.
    pub async fn worker(&self, worker: &str) -> Result<WorkerInfo> {
        self.0
            .get_worker(reference(worker))
            .await
            .context(worker.to_owned())
    }
}

/// `COMPONENT/WORKER`.
#[must_use]
pub fn reference(worker: &str) -> WorkerRef {
    let (component, worker) = worker.split_once('/').unwrap_or((worker, ""));
    WorkerRef {
        component: component.into(),
        worker: worker.into(),
    }
}
