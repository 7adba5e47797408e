//! What every manager does all the time: show the leading one that it is there, keep its map, know the others' addresses.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use kiln_proto::{Error, ids::NodeId, v1};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    attend,
    inner::{Inner, Lead},
    route::{Client, Route, unbounded},
    state::State,
};

/// How long to wait for a leading manager before the others are asked for it.
const ROUTE_FOR: Duration = Duration::from_secs(1);
const RETRY_DELAY: Duration = Duration::from_millis(200);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(1);

/// Attends to the leading manager, whoever that is.
pub(crate) async fn attend_to_leader(inner: Arc<Inner>) {
    loop {
        let attended = match inner.route(Instant::now() + ROUTE_FOR).await {
            Ok(Route::Here(lead)) => attend_here(&inner, &lead).await,
            Ok(Route::There(client)) => attend_there(&inner, client).await,
            Err(_) => ask_others(&inner).await,
        };
        if let Err(error) = attended {
            tracing::debug!(%error, "attending to the leading shard manager has ended");
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// A manager that came back at another address is not sent anything, so it does not learn who leads; it finds the
/// leading manager by asking all of them.
async fn ask_others(inner: &Arc<Inner>) -> Result<(), Error> {
    let state = inner.view.state()?;
    let managers = state
        .cluster
        .iter()
        .flat_map(|cluster| &cluster.managers)
        .copied();
    for manager in managers.filter(|manager| *manager != inner.store.node_id().0) {
        if let Some(address) = inner.store.peers().get(manager.into()) {
            attend_there(inner, inner.client(&address)?).await.ok();
        }
    }
    Ok(())
}

async fn attend_here(inner: &Inner, lead: &Lead) -> Result<(), Error> {
    let session = lead.roster.lock().open_session();
    while !lead.ended.is_cancelled() {
        // Before the cluster is founded there is nobody to show it to.
        if inner.view.state()?.cluster.is_some() {
            attend::take_report(inner, lead, session, report(inner)).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(inner.options.report_interval) => {}
            () = lead.ended.cancelled() => {}
        }
    }
    Ok(())
}

async fn attend_there(inner: &Arc<Inner>, mut client: Client) -> Result<(), Error> {
    let reporter = Arc::clone(inner);
    let reports = stream::unfold((reporter, true), async |(inner, first)| {
        if !first {
            tokio::time::sleep(inner.options.report_interval).await;
        }
        let report = report(&inner);
        Some((report, (inner, false)))
    });
    // The stream of reports would outlive this function otherwise: HTTP/2 closes the two directions separately.
    let attending = CancellationToken::new();
    let _ends_with_us = attending.clone().drop_guard();
    let reports = reports.take_until(attending.cancelled_owned());
    let attended = tokio::time::timeout(inner.options.lease, client.attend(unbounded(reports)));
    let mut notices = attended.await.map_err(|_| silent())??.into_inner();
    let mut leadership = inner.group.leadership();
    let attended = leadership.borrow_and_update().leader;
    loop {
        let lease = inner.options.lease;
        let notice = tokio::select! {
            notice = tokio::time::timeout(lease, notices.message()) => notice,
            _ = leadership.wait_for(|now| now.leader.is_some() && now.leader != attended) => return Ok(()),
        };
        let Ok(notice) = notice else {
            return Err(silent());
        };
        let Some(notice) = notice? else { return Ok(()) };
        if let Some(map) = notice.map {
            inner.board.mirror(map);
        }
    }
}

fn silent() -> Error {
    Error::unavailable("the leading shard manager is silent")
}

fn report(inner: &Inner) -> v1::ExecutorReport {
    v1::ExecutorReport {
        node_id: inner.store.node_id().0,
        address: inner.options.address.clone(),
        listeners: inner.options.listeners.clone(),
        name: inner.options.name.clone(),
        pid: std::process::id(),
        version: kiln_proto::VERSION.to_owned(),
        cluster_id: inner.store.cluster_id().unwrap_or_default(),
        map_version: inner.board.latest().map_or(0, |map| map.version),
        manager: true,
        ..Default::default()
    }
}

/// Keeps addresses and the cluster's identity as the replicated state has them.
pub(crate) async fn keep_up(inner: Arc<Inner>, mut last: Arc<State>) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        match inner.view.state() {
            Ok(state) => {
                learn(&inner, &last, &state).await;
                last = state;
            }
            Err(error) => tracing::error!(%error, "the control state cannot be read"),
        }
    }
}

/// Takes over what differs between two states. What has not changed is left alone, since a newer address may have been
/// learned from the node itself.
pub(crate) async fn learn(inner: &Inner, before: &State, state: &State) {
    if before.revision == state.revision {
        return;
    }
    for (id, node) in &state.nodes {
        let known = before.nodes.get(id).map(|node| node.address.as_str());
        if *id != inner.store.node_id() && known != Some(node.address.as_str()) {
            inner.store.peers().set(*id, &node.address);
        }
    }
    if before.cluster.is_none()
        && let Some(cluster) = &state.cluster
        && let Err(error) = inner.store.join_cluster(&cluster.cluster_id).await
    {
        tracing::error!(%error, "the managers' group belongs to another cluster than this node");
    }
}

/// Learns where the other managers are, from the addresses that this one was started with.
///
/// It never ends: old addresses come back from the log when it is applied again after a start.
pub(crate) async fn find_managers(inner: Arc<Inner>) {
    let mut met: BTreeMap<&str, NodeId> = BTreeMap::new();
    loop {
        for address in &inner.options.managers {
            let known = met
                .get(address.as_str())
                .and_then(|node| inner.store.peers().get(*node));
            let is_self = met.get(address.as_str()) == Some(&inner.store.node_id());
            if is_self || known.as_deref() == Some(address.as_str()) {
                continue;
            }
            if let Ok(there) = identify(&inner, address).await {
                met.insert(address, NodeId(there.node_id));
                if there.node_id != inner.store.node_id().0 {
                    inner.store.peers().set(NodeId(there.node_id), address);
                }
            }
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Asks who is at an address.
pub(crate) async fn identify(inner: &Inner, address: &str) -> Result<v1::IdentifyResponse, Error> {
    let mut client = v1::raft_service_client::RaftServiceClient::new(inner.channels.get(address)?);
    let cluster_id = inner.store.cluster_id().unwrap_or_default();
    let mut request = tonic::Request::new(v1::IdentifyRequest {
        cluster_id,
        node_id: inner.store.node_id().0,
    });
    request.set_timeout(IDENTIFY_TIMEOUT);
    Ok(client.identify(request).await?.into_inner())
}
