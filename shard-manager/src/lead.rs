//! What the leading manager does: watch, publish the map, plan, have the steps carried out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use kiln_proto::{Error, ids::ShardId};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    act,
    attempts::Attempts,
    health::Roster,
    inner::{Inner, Lead},
    operate,
    plan::{Facts, Liveness, Step, plan},
    state::{Node, State},
};

const BARRIER_RETRY_DELAY: Duration = Duration::from_millis(50);
/// News that come together are planned for together.
const GATHER: Duration = Duration::from_millis(20);
const STEPS_AT_ONCE_MAX: usize = 32;
/// Waits are spread by this much either way, so that what failed together is not tried again together.
const JITTER: f64 = 0.2;

/// Leads whenever the managers' group has elected this manager.
pub(crate) async fn run(inner: Arc<Inner>) {
    let mut leadership = inner.group.leadership();
    loop {
        let elected = *leadership.borrow_and_update();
        if elected.is_self {
            let deposed = leadership.wait_for(|now| !now.is_self || now.term != elected.term);
            tokio::select! {
                () = lead(&inner, elected.term) => {}
                _ = deposed => {}
                () = inner.stopping.cancelled() => {}
            }
            if let Some(lead) = inner.lead.send_replace(None) {
                lead.ended.cancel();
            }
        } else {
            tokio::select! {
                _ = leadership.changed() => {}
                () = inner.stopping.cancelled() => {}
            }
        }
        if inner.stopping.is_cancelled() {
            return;
        }
    }
}

async fn lead(inner: &Arc<Inner>, term: u64) {
    // Whatever was committed before has to be seen before anything is decided.
    while let Err(error) = inner.group.read_barrier().await {
        tracing::debug!(term, %error, "the new leading manager has not caught up yet");
        tokio::time::sleep(BARRIER_RETRY_DELAY).await;
    }
    tracing::info!(term, "this shard manager leads");
    let lead = Arc::new(inner.new_lead(term));
    inner.lead.send_replace(Some(Arc::clone(&lead)));
    let mut actions = Actions::new();
    loop {
        if let Err(error) = turn(inner, &lead, &mut actions).await {
            tracing::warn!(term, %error, "a turn of the plan was not completed");
        }
        tokio::select! {
            () = lead.news.notified() => {}
            () = actions.finish_one(inner.options.report_interval) => {}
            () = tokio::time::sleep(inner.options.plan_interval) => {}
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Publishes, plans and begins.
///
/// Placements are committed before the next turn plans: it would not see them otherwise and begin more moves than it
/// may. What other nodes do goes on in the background.
async fn turn(inner: &Arc<Inner>, lead: &Lead, actions: &mut Actions) -> Result<(), Error> {
    let state = inner.view.state()?;
    if state.cluster.is_none() {
        return Ok(());
    }
    inner.publish(lead)?;
    if lead.agenda.takes_failed_again() {
        actions.attempts.forget();
    }
    let facts = observe(&state, lead, actions, Instant::now());
    let steps = plan(&state, &facts, &inner.options.limits);
    lead.agenda.tell(operate::shards_left(&state, &facts, &steps));
    let mut assigned = Vec::new();
    for step in steps {
        match step {
            Step::Assign(placements) => assigned.extend(placements),
            step => actions.start(inner, &state, step),
        }
    }
    if !assigned.is_empty() {
        tracing::debug!(?assigned, "placing");
        act::assign(inner, &assigned).await?;
        lead.news.notify_one();
    }
    Ok(())
}

fn observe(state: &State, lead: &Lead, actions: &mut Actions, now: Instant) -> Facts {
    let roster = lead.roster.lock();
    let executors = state.nodes.values().filter(|node| node.executor);
    Facts {
        nodes: executors
            .map(|node| (node.id(), liveness(node, &roster, now)))
            .collect(),
        groups: roster.groups(now),
        busy: actions.busy(now),
        failures: actions.attempts.failures(now),
    }
}

/// What its operator wants of a node that is there comes before what it asks for itself.
fn liveness(node: &Node, roster: &Roster, now: Instant) -> Liveness {
    match roster.liveness(node.id(), now) {
        Liveness::Alive { .. } if node.draining => Liveness::Draining,
        liveness => liveness,
    }
}

/// Steps under way, and what became of earlier ones.
struct Actions {
    running: JoinSet<(Step, Result<(), Error>)>,
    slots: Arc<Semaphore>,
    /// Shards that are not to be planned for: until then, or until their step has ended.
    busy: BTreeMap<ShardId, Option<Instant>>,
    attempts: Attempts,
}

impl Actions {
    fn new() -> Self {
        Self {
            running: JoinSet::new(),
            slots: Arc::new(Semaphore::new(STEPS_AT_ONCE_MAX)),
            busy: BTreeMap::new(),
            attempts: Attempts::default(),
        }
    }

    fn start(&mut self, inner: &Arc<Inner>, state: &Arc<State>, step: Step) {
        if let Some(key) = step.key()
            && !self.attempts.may_start(key, Instant::now(), jitter())
        {
            tracing::warn!(?step, "a step of the plan was done, but had no effect");
            return;
        }
        self.busy
            .extend(step.shards().into_iter().map(|shard| (shard, None)));
        let (inner, state, slots) = (Arc::clone(inner), Arc::clone(state), Arc::clone(&self.slots));
        self.running.spawn(async move {
            let _slot = slots.acquire_owned().await;
            let done = act::carry_out(&inner, &state, &step).await;
            (step, done)
        });
    }

    /// Waits for the end of a step; for ever when there is none.
    async fn finish_one(&mut self, report_interval: Duration) {
        match self.running.join_next().await {
            Some(Ok((step, done))) => self.finish(&step, done, report_interval),
            Some(Err(error)) => {
                // Which shard it was is not known; nothing is lost by planning for all of them again.
                tracing::error!(%error, "a step of the plan was aborted");
                self.busy.clear();
            }
            None => std::future::pending().await,
        }
    }

    fn finish(&mut self, step: &Step, done: Result<(), Error>, report_interval: Duration) {
        let now = Instant::now();
        for shard in step.shards() {
            self.busy.remove(&shard);
        }
        match (step.key(), done) {
            (Some(key), Ok(())) => {
                tracing::info!(?step, "done");
                self.attempts.succeeded(key, now);
                // Planned for again when its effect has been reported, not to ask for the same once more.
                self.busy.insert(key.shard, Some(now + report_interval));
            }
            (Some(key), Err(error)) => {
                let count = self.attempts.failed(key, now, jitter());
                tracing::warn!(?step, count, %error, "a step of the plan has failed");
            }
            (None, _) => {}
        }
    }

    fn busy(&mut self, now: Instant) -> BTreeSet<ShardId> {
        self.busy.retain(|_, until| until.is_none_or(|until| until > now));
        self.busy.keys().copied().collect()
    }
}

fn jitter() -> f64 {
    rand::random_range(1.0 - JITTER..1.0 + JITTER)
}
