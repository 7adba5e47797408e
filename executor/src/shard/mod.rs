//! The shards that have a replica on this node, and those that it owns.
//!
//! * [`Shards`] – all replicas of the node; `reconcile` starts and removes them as the map says
//! * `own` – follows a replica's leadership: opens the epoch, closes at once when it is lost
//! * `agenda` – suspended workers go on and tasks are carried out when they are due
//! * `recover` – after a change of owner, goes on with unfinished work
//! * `workers` – an owned shard with the actors of its workers
//! * `sweep` – unloads idle workers
//! * `report` – what the managers are told

mod agenda;
mod oplog_store;
mod own;
mod reconcile;
mod recover;
mod report;
pub(crate) mod sweep;
mod workers;

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use kiln_proto::{
    Error,
    ids::{NodeId, ShardId},
};
use kiln_store::{Shard, Store};
use tokio::{sync::Notify, task::AbortHandle};

use crate::context::Context;

pub(crate) use oplog_store::ShardOplog;
pub(crate) use workers::Owned;

/// How long a node that stops tries to hand its shards over.
const HAND_OVER_PATIENCE: Duration = Duration::from_millis(500);

/// The replicas of a node. A node that is only an edge has none.
pub(crate) struct Shards {
    store: Option<Store>,
    context: Arc<Context>,
    replicas: ArcSwap<HashMap<ShardId, Arc<Replica>>>,
    /// One change of `replicas` at a time.
    changing: tokio::sync::Mutex<()>,
    /// Something happened that the managers should hear of soon.
    news: Arc<Notify>,
}

/// A replica of a shard on this node.
pub(crate) struct Replica {
    pub(crate) shard: Shard,
    owned: ArcSwapOption<Owned>,
    owner_task: parking_lot::Mutex<Option<AbortHandle>>,
}

impl Shards {
    pub(crate) fn new(store: Option<Store>, context: Arc<Context>) -> Self {
        Self {
            store,
            context,
            replicas: ArcSwap::default(),
            changing: tokio::sync::Mutex::default(),
            news: Arc::default(),
        }
    }

    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    pub(crate) fn node_id(&self) -> Option<NodeId> {
        self.store.as_ref().map(Store::node_id)
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The shard, if this node owns it now.
    pub(crate) fn owned(&self, shard: ShardId) -> Option<Arc<Owned>> {
        self.replicas.load().get(&shard)?.owned.load_full()
    }

    /// All shards that this node owns now.
    pub(crate) fn all_owned(&self) -> Vec<Arc<Owned>> {
        self.replicas
            .load()
            .values()
            .filter_map(|replica| replica.owned.load_full())
            .collect()
    }

    /// The replica of a shard on this node.
    pub(crate) fn replica(&self, shard: ShardId) -> Option<Arc<Replica>> {
        self.replicas.load().get(&shard).cloned()
    }

    /// The node that leads a shard, as far as the replica here knows.
    pub(crate) fn leader(&self, shard: ShardId) -> Option<NodeId> {
        self.replica(shard)?.shard.group().leadership().borrow().leader
    }

    /// Waits until the replica here sees the shard led by another node than now and than `node`; for ever without one.
    pub(crate) async fn led_by_another(&self, shard: ShardId, node: NodeId) {
        let Some(replica) = self.replica(shard) else {
            return std::future::pending().await;
        };
        let mut leadership = replica.shard.group().leadership();
        let before = leadership.borrow_and_update().leader;
        while leadership.changed().await.is_ok() {
            let leader = leadership.borrow_and_update().leader;
            if leader.is_some_and(|leader| leader != node && Some(leader) != before) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Waits for something that the managers should hear of.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Starts a shard's replica unless it runs.
    ///
    /// # Errors
    /// When this node stores nothing, or its data does not check out.
    pub(crate) async fn ensure(&self, id: ShardId) -> Result<Arc<Replica>, Error> {
        if let Some(replica) = self.replica(id) {
            return Ok(replica);
        }
        let _turn = self.changing.lock().await;
        if let Some(replica) = self.replica(id) {
            return Ok(replica);
        }
        let store = self
            .store
            .as_ref()
            .ok_or_else(|| Error::conflict("this node stores no shards"))?;
        let shard = Shard::start(store, id).await?;
        let replica = Arc::new(Replica {
            shard,
            owned: ArcSwapOption::empty(),
            owner_task: Default::default(),
        });
        let task = tokio::spawn(own::follow(
            replica.clone(),
            self.context.clone(),
            self.news.clone(),
        ));
        *replica.owner_task.lock() = Some(task.abort_handle());
        self.change(|replicas| replicas.insert(id, replica.clone()));
        tracing::info!(shard = %id, "started a replica");
        Ok(replica)
    }

    /// Stops all actors and replicas. What they have acknowledged is on disk.
    pub(crate) async fn shutdown(&self) {
        let _turn = self.changing.lock().await;
        hand_over(&self.all_owned()).await;
        let replicas = self.replicas.swap(Arc::default());
        for replica in replicas.values() {
            replica.release();
        }
        let stops = replicas.values().map(|replica| replica.shard.group().stop());
        futures::future::join_all(stops).await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<ShardId, Arc<Replica>>) -> T) {
        let mut replicas = (**self.replicas.load()).clone();
        change(&mut replicas);
        self.replicas.store(Arc::new(replicas));
    }
}

/// Gives owned shards to other replicas, so that nobody has to wait for an election.
async fn hand_over(owned: &[Arc<Owned>]) {
    let transfers = owned.iter().filter_map(|owned| {
        let group = owned.shard.group();
        let this = group.leadership().borrow().leader;
        let heir = group.voters().into_iter().find(|voter| Some(*voter) != this)?;
        Some(async move {
            let mut leadership = group.leadership();
            if group.transfer_leader(heir).await.is_ok() {
                let _ = leadership.wait_for(|now| !now.is_self).await;
            }
        })
    });
    // A courtesy: where it fails, the others elect an owner by themselves.
    let _ = tokio::time::timeout(HAND_OVER_PATIENCE, futures::future::join_all(transfers)).await;
}

impl Replica {
    /// Ends the ownership, if there is one.
    fn release(&self) {
        if let Some(task) = self.owner_task.lock().take() {
            task.abort();
        }
        if let Some(owned) = self.owned.swap(None) {
            owned.close();
        }
    }
}
