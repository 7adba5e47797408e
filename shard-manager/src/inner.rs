use std::{sync::Arc, time::Instant};

use kiln_proto::Error;
use kiln_store::{Group, Store};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Options,
    channels::Channels,
    health::{Leases, Roster},
    map::{self, Board, SharedMap},
    operate::Agenda,
    state::{Change, Command, ControlMachine, Outcome, Reply, View, decode, encode},
};

/// What all parts of a manager share.
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) group: Group<ControlMachine>,
    pub(crate) view: View,
    pub(crate) board: Board,
    pub(crate) channels: Channels,
    /// Set while this manager leads and has caught up with what was committed before.
    pub(crate) lead: watch::Sender<Option<Arc<Lead>>>,
    pub(crate) stopping: CancellationToken,
}

/// This manager's leadership under one term.
pub(crate) struct Lead {
    pub(crate) term: u64,
    pub(crate) roster: Mutex<Roster>,
    /// Something has changed: plan again.
    pub(crate) news: Notify,
    /// What is left to be done, for operators.
    pub(crate) agenda: Agenda,
    pub(crate) ended: CancellationToken,
}

impl Inner {
    pub(crate) fn new(store: Store, group: Group<ControlMachine>, options: Options) -> Self {
        Self {
            view: View::new(group.reader()),
            board: Board::new(),
            channels: Channels::default(),
            lead: watch::Sender::new(None),
            stopping: CancellationToken::new(),
            options,
            store,
            group,
        }
    }

    pub(crate) fn new_lead(&self, term: u64) -> Lead {
        let leases = Leases {
            lease: self.options.lease,
            settling_time: self.options.settling_time,
            replace_after: self.options.replace_after,
        };
        let last_map = self.board.latest();
        Lead {
            term,
            roster: Mutex::new(Roster::new(leases, Instant::now(), last_map.as_deref())),
            news: Notify::new(),
            agenda: Agenda::default(),
            ended: self.stopping.child_token(),
        }
    }

    /// Replicates a change; only the leading manager can.
    pub(crate) async fn commit(&self, change: Change) -> Result<Option<Outcome>, Error> {
        let reply = self
            .group
            .propose(encode(&Command { change: Some(change) }))
            .await?;
        match decode::<Reply>(reply, "a control reply")?.outcome {
            Some(Outcome::Refused(detail)) => Err(Error {
                code: detail.code(),
                message: detail.message,
                hint: detail.hint,
                owner: detail.owner,
            }),
            outcome => Ok(outcome),
        }
    }

    /// Publishes the map as it is now and returns it.
    pub(crate) fn publish(&self, lead: &Lead) -> Result<SharedMap, Error> {
        let state = self.view.state()?;
        if state.cluster.is_none() {
            return Err(not_founded());
        }
        let map = map::build(&state, &lead.roster.lock(), self.store.node_id(), Instant::now());
        self.board.publish(lead.term, map);
        self.board.latest().ok_or_else(not_founded)
    }
}

/// There is no cluster yet.
pub(crate) fn not_founded() -> Error {
    Error::unavailable("the cluster has not been founded yet")
        .with_hint("found it with `kiln cluster bootstrap --managers ADDRESS,…`")
}
