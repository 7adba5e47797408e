//! Leases: a node attends over one stream, on which it reports and hears of the map.

use std::{sync::Arc, time::Instant};

use futures::{Stream, StreamExt};
use kiln_proto::{Error, ids::NodeId, v1};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::{
    inner::{Inner, Lead, not_founded},
    map::SharedMap,
    route::{Client, unbounded},
    state::{Change, Node},
};

/// Notices that a node has not read yet.
const NOTICES_MAX: usize = 4;

pub(crate) type Notices = futures::stream::BoxStream<'static, Result<v1::ManagerNotice, Status>>;

/// Takes a node's reports, as the leading manager.
pub(crate) fn here(inner: Arc<Inner>, lead: Arc<Lead>, reports: Streaming<v1::ExecutorReport>) -> Notices {
    let (notices, queued) = mpsc::channel(NOTICES_MAX);
    tokio::spawn(async move {
        let session = lead.roster.lock().open_session();
        let attendance = Attendance {
            map: inner.board.subscribe(),
            inner: &inner,
            lead: &lead,
            session,
            sent: 0,
        };
        if let Err(error) = attendance.run(reports, &notices).await {
            // The node may be gone already; then nobody needs to know.
            let _ = notices.send(Err(error.into())).await;
        }
        lead.roster.lock().close_session(session);
        lead.news.notify_one();
    });
    ReceiverStream::new(queued).boxed()
}

/// Passes a node's reports on to the leading manager.
pub(crate) async fn there(
    mut client: Client,
    reports: Streaming<v1::ExecutorReport>,
) -> Result<Notices, Error> {
    // A broken stream of reports ends; the leading manager then closes the other one.
    let reports = reports
        .take_while(|report| std::future::ready(report.is_ok()))
        .filter_map(|report| std::future::ready(report.ok()));
    Ok(client.attend(unbounded(reports)).await?.into_inner().boxed())
}

/// One node's stream.
struct Attendance<'a> {
    inner: &'a Inner,
    lead: &'a Lead,
    map: watch::Receiver<Option<SharedMap>>,
    session: u64,
    /// Version of the map that the node has got.
    sent: u64,
}

impl Attendance<'_> {
    async fn run(
        mut self,
        mut reports: impl Stream<Item = Result<v1::ExecutorReport, Status>> + Unpin,
        notices: &mpsc::Sender<Result<v1::ManagerNotice, Status>>,
    ) -> Result<(), Error> {
        let mut has_reported = false;
        loop {
            tokio::select! {
                report = reports.next() => match report {
                    Some(Ok(report)) => {
                        self.sent = self.sent.max(report.map_version);
                        take_report(self.inner, self.lead, self.session, report).await?;
                        has_reported = true;
                    }
                    Some(Err(_)) | None => return Ok(()),
                },
                changed = self.map.changed(), if has_reported => {
                    changed.map_err(|_| Error::unavailable("this shard manager is stopping"))?;
                }
                () = self.lead.ended.cancelled() => {
                    return Err(Error::unavailable("this shard manager does not lead any more"));
                }
            }
            let notice = self.notice();
            if notices.send(Ok(notice)).await.is_err() {
                return Ok(());
            }
        }
    }

    fn notice(&mut self) -> v1::ManagerNotice {
        let map = self
            .map
            .borrow_and_update()
            .clone()
            .filter(|map| map.version > self.sent);
        self.sent = map.as_ref().map_or(self.sent, |map| map.version);
        v1::ManagerNotice {
            cluster_id: self.inner.store.cluster_id().unwrap_or_default(),
            lease_ms: u32::try_from(self.inner.options.lease.as_millis()).unwrap_or(u32::MAX),
            map: map.map(|map| v1::ClusterMap::clone(&map)),
        }
    }
}

/// Renews a lease, and registers the node when it is new or has changed.
pub(crate) async fn take_report(
    inner: &Inner,
    lead: &Lead,
    session: u64,
    report: v1::ExecutorReport,
) -> Result<(), Error> {
    let state = inner.view.state()?;
    let cluster = state.cluster.as_ref().ok_or_else(not_founded)?;
    check(&report, &cluster.cluster_id)?;
    let node = NodeId(report.node_id);
    let known = state.nodes.get(&node);
    let introduced = introduction(&report).over(known);
    if report.manager && !cluster.managers.contains(&node.0) {
        return Err(Error::conflict(format!(
            "node {node} is not one of the cluster's shard managers"
        )));
    }
    lead.roster.lock().report(session, report, Instant::now())?;
    if known != Some(&introduced) {
        // Told before it is committed: a manager that came back elsewhere may be needed for the majority.
        if node != inner.store.node_id() {
            inner.store.peers().set(node, &introduced.address);
        }
        inner.commit(Change::SetNode(introduced)).await?;
    }
    lead.news.notify_one();
    Ok(())
}

fn check(report: &v1::ExecutorReport, cluster_id: &str) -> Result<(), Error> {
    if report.node_id == 0 || report.address.is_empty() {
        return Err(Error::invalid("a report needs the node's id and address"));
    }
    if report.cluster_id.is_empty() || report.cluster_id == cluster_id {
        return Ok(());
    }
    let message = format!(
        "node {} belongs to cluster {}, this is cluster {cluster_id}",
        report.node_id, report.cluster_id
    );
    Err(Error::conflict(message)
        .with_hint("start it with the addresses of its own cluster's managers, or with an empty data folder"))
}

fn introduction(report: &v1::ExecutorReport) -> Node {
    Node {
        node_id: report.node_id,
        address: report.address.clone(),
        name: report.name.clone(),
        pid: report.pid,
        version: report.version.clone(),
        listeners: report.listeners.clone(),
        executor: !report.manager,
        manager: report.manager,
        draining: false, // stays what its operator said: `Node::over`
    }
}
