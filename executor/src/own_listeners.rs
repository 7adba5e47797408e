//! Closes the cluster's own listeners to guests: those of all nodes, and of edges that only the configuration knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{net::lookup_host, time::timeout};

use crate::{host::egress::OwnAddresses, route::ClusterView};

/// Names are looked up again this often: a node that was started anew may have got another address.
const LOOK_UP_EVERY: Duration = Duration::from_secs(30);

/// What is closed, and where that is known from.
pub(crate) struct OwnListeners {
    closed: OwnAddresses,
    view: Arc<ClusterView>,
    /// Addresses that no map tells, as `host:port`: of this node, of the managers as configured, of edges.
    told: BTreeSet<String>,
    /// What names led to last. One that cannot be looked up now keeps what it had.
    found: BTreeMap<String, Vec<SocketAddr>>,
}

impl OwnListeners {
    /// Closes what needs no look-up at once, so that no guest runs before.
    pub(crate) fn new(
        closed: OwnAddresses,
        view: Arc<ClusterView>,
        told: impl IntoIterator<Item = String>,
    ) -> Self {
        let told: BTreeSet<String> = told.into_iter().collect();
        let parsed = |name: &String| Some((name.clone(), vec![name.parse().ok()?]));
        let found = told.iter().filter_map(parsed).collect();
        let own = Self {
            closed,
            view,
            told,
            found,
        };
        own.close();
        own
    }

    /// Follows the map for ever.
    pub(crate) async fn keep_closed(mut self) {
        let mut changes = self.view.changes();
        let mut known = BTreeSet::new();
        loop {
            let names = self.names();
            if names != known {
                known.clone_from(&names);
                self.look_up(names).await;
            }
            match timeout(LOOK_UP_EVERY, changes.changed()).await {
                Ok(Ok(())) => {}
                // The view goes with the executor, and this task before it.
                Ok(Err(_)) => return,
                Err(_) => known.clear(),
            }
        }
    }

    fn names(&self) -> BTreeSet<String> {
        let map = self.view.map();
        let addresses = map.wire.nodes.iter().map(|node| &node.address);
        let listeners = map.wire.nodes.iter().flat_map(|node| &node.listeners);
        let all = addresses.chain(listeners).chain(&map.wire.managers);
        all.chain(&self.told)
            .filter(|name| !name.is_empty())
            .cloned()
            .collect()
    }

    async fn look_up(&mut self, names: BTreeSet<String>) {
        self.found.retain(|name, _| names.contains(name));
        for name in names {
            let looked_up = lookup_host(&name).await.map(|addresses| {
                addresses
                    .filter(|address| self.is_here_or_clear(&name, *address))
                    .collect()
            });
            match looked_up {
                Ok(addresses) => {
                    self.found.insert(name, addresses);
                }
                Err(error) => tracing::debug!(name, %error, "cannot look up a listener of the cluster"),
            }
        }
        self.close();
    }

    /// Another node that listens on all addresses of its machine says nothing about this one.
    fn is_here_or_clear(&self, name: &str, address: SocketAddr) -> bool {
        !address.ip().is_unspecified() || self.told.contains(name)
    }

    fn close(&self) {
        self.closed.set(self.found.values().flatten().copied().collect());
    }
}

#[cfg(test)]
mod tests {
    use kiln_proto::v1;

    use super::*;

    #[tokio::test]
    async fn nodes_of_the_map_are_closed_as_they_come_and_go() {
        let (closed, view) = (OwnAddresses::default(), Arc::<ClusterView>::default());
        let told = ["0.0.0.0:7400", "localhost:9000"].map(str::to_owned);
        let own = OwnListeners::new(closed.clone(), view.clone(), told);
        let is_closed = |address: &str| closed.contains(address.parse().expect("an address"));
        assert!(is_closed("127.0.0.1:7400"), "closed before any look-up");
        tokio::spawn(own.keep_closed());
        let node = |listeners: &[&str]| v1::ClusterMap {
            version: view.glance().wire.version + 1,
            nodes: vec![v1::NodeInfo {
                address: "127.0.0.9:7400".into(),
                listeners: listeners.iter().map(|&listener| listener.into()).collect(),
                ..v1::NodeInfo::default()
            }],
            managers: vec!["127.0.0.8:7000".into()],
            ..v1::ClusterMap::default()
        };
        // (listeners of the node, address, closed then)
        for (listeners, address, expected) in [
            (&["127.0.0.9:7401"][..], "127.0.0.9:7401", true),
            (&["127.0.0.9:7402"], "127.0.0.9:7402", true),
            (&["127.0.0.9:7402"], "127.0.0.9:7401", false),
            (&["0.0.0.0:7403"], "127.0.0.1:7403", false),
            (&[], "127.0.0.9:7400", true),
            (&[], "127.0.0.8:7000", true),
            (&[], "127.0.0.1:9000", true),
            (&[], "127.0.0.9:9000", false),
        ] {
            view.update(node(listeners));
            let settled = async {
                while is_closed(address) != expected {
                    tokio::task::yield_now().await;
                }
            };
            let settled = timeout(Duration::from_secs(10), settled).await;
            assert!(
                settled.is_ok(),
                "{address} with {listeners:?}: closed is {}",
                !expected
            );
        }
    }
}
