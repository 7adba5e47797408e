//! Keeps in touch with the shard managers: the lease, the reports, and the newest map.

use std::{future::Future, sync::Arc, time::Duration};

use kiln_proto::{
    Error,
    v1::{self, ClusterMap, ExecutorReport},
};
use kiln_store::Store;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    managers::Managers,
    route::{Backoff, ClusterView},
    shard::Shards,
};

/// Reports go out at least this often, and sooner when something has happened.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// After news, others are waited for this long, so that sixteen shards that change owner make one report.
const GATHER: Duration = Duration::from_millis(5);
/// A manager that says nothing for this long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who this node is, as it tells the managers.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) address: String,
    pub(crate) listeners: Vec<String>,
    pub(crate) name: String,
}

/// A node that stores shards: attends to a manager, one after another, for ever.
pub(crate) async fn attend(
    managers: Arc<Managers>,
    shards: Arc<Shards>,
    store: Store,
    identity: Identity,
    draining: watch::Receiver<bool>,
) {
    let view = shards.context().view.clone();
    let attendance = Attendance {
        managers: managers.clone(),
        shards,
        store,
        identity,
        draining,
        view,
    };
    for_ever(&managers, || attendance.once()).await;
}

/// A node that only passes calls on: watches the map.
pub(crate) async fn watch_map(managers: Arc<Managers>, view: Arc<ClusterView>) {
    for_ever(&managers, || watch_once(&managers, &view)).await;
}

/// Repeats a conversation that only ever ends with an error.
async fn for_ever<F>(managers: &Managers, conversation: impl Fn() -> F)
where
    F: Future<Output = Error>,
{
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let began_at = Instant::now();
        let error = conversation().await;
        tracing::debug!(%error, "the conversation with a shard manager ended");
        managers.turn_away(&error);
        if began_at.elapsed() > LONGEST_PAUSE {
            backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}

async fn watch_once(managers: &Managers, view: &ClusterView) -> Error {
    let watching = async {
        let known_version = view.glance().wire.version;
        let mut client = managers.client()?;
        let mut maps = client
            .watch_map(v1::WatchMapRequest { known_version })
            .await?
            .into_inner();
        while let Some(map) = maps.message().await? {
            managers.learn(&map.managers);
            view.update(map);
        }
        Err::<(), Error>(Error::unavailable("the manager ended the stream"))
    };
    watching
        .await
        .err()
        .unwrap_or_else(|| Error::internal("a watch ended without an error"))
}

struct Attendance {
    managers: Arc<Managers>,
    shards: Arc<Shards>,
    store: Store,
    identity: Identity,
    draining: watch::Receiver<bool>,
    view: Arc<ClusterView>,
}

impl Attendance {
    async fn once(&self) -> Error {
        match self.converse().await {
            Ok(()) => Error::unavailable("the manager ended the stream"),
            Err(error) => error,
        }
    }

    async fn converse(&self) -> Result<(), Error> {
        let (reports, outgoing) = mpsc::channel(4);
        let mut client = self.managers.client()?;
        let _ = reports.try_send(self.report());
        let attending = client.attend(ReceiverStream::new(outgoing));
        let silent = || Error::unavailable("the manager is silent");
        let mut notices = tokio::time::timeout(SILENCE_MAX, attending)
            .await
            .map_err(|_| silent())??
            .into_inner();
        let mut reported_at = Instant::now();
        let mut heard_at = Instant::now();
        let mut draining = self.draining.clone();
        loop {
            tokio::select! {
                notice = notices.message() => match notice? {
                    Some(notice) => {
                        heard_at = Instant::now();
                        self.take_in(notice).await?;
                    }
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(reported_at + REPORT_INTERVAL) => {
                    if heard_at.elapsed() > SILENCE_MAX {
                        return Err(silent());
                    }
                    send(&reports, self.report()).await?;
                    reported_at = Instant::now();
                }
                () = self.shards.news() => {
                    tokio::time::sleep(GATHER).await;
                    send(&reports, self.report()).await?;
                    reported_at = Instant::now();
                }
                Ok(()) = draining.changed() => send(&reports, self.report()).await?,
            }
        }
    }

    fn report(&self) -> ExecutorReport {
        ExecutorReport {
            node_id: self.store.node_id().0,
            address: self.identity.address.clone(),
            listeners: self.identity.listeners.clone(),
            name: self.identity.name.clone(),
            pid: std::process::id(),
            version: kiln_proto::VERSION.to_owned(),
            cluster_id: self.store.cluster_id().unwrap_or_default(),
            map_version: self.view.glance().wire.version,
            shards: self.shards.reports(),
            draining: *self.draining.borrow(),
            manager: false,
        }
    }

    async fn take_in(&self, notice: v1::ManagerNotice) -> Result<(), Error> {
        if !notice.cluster_id.is_empty() {
            self.store.join_cluster(&notice.cluster_id).await?;
        }
        let Some(map) = notice.map else { return Ok(()) };
        self.managers.learn(&map.managers);
        self.introduce(&map);
        self.view.update(map);
        self.shards.reconcile(&self.view.map()).await;
        Ok(())
    }

    /// Tells the Raft transport where the other nodes are.
    fn introduce(&self, map: &ClusterMap) {
        for node in map.nodes.iter().filter(|node| !node.address.is_empty()) {
            self.store.peers().set(node.node_id.into(), &node.address);
        }
    }
}

async fn send(reports: &mpsc::Sender<ExecutorReport>, report: ExecutorReport) -> Result<(), Error> {
    let gone = |_| Error::unavailable("the manager ended the stream");
    let sent = tokio::time::timeout(SILENCE_MAX, reports.send(report)).await;
    sent.map_err(|_| Error::unavailable("the manager takes no reports"))?
        .map_err(gone)
}
