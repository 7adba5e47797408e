//! Follows the leadership of one replica.

use std::{sync::Arc, time::Duration};

use kiln_store::Leadership;
use tokio::sync::Notify;

use super::{Owned, Replica, agenda, recover};
use crate::{context::Context, processors};

/// Pause before opening the epoch is tried again, while this replica still leads.
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// Opens the shard whenever this replica comes to lead it, and closes it as soon as it does not any more.
pub(super) async fn follow(replica: Arc<Replica>, context: Arc<Context>, news: Arc<Notify>) {
    let mut leadership = replica.shard.group().leadership();
    loop {
        let now = *leadership.borrow_and_update();
        close_unless_led(&replica, now, &context);
        if let Some(leader) = now.leader {
            context.view.note_owner(replica.shard.id(), leader);
        }
        if now.is_self && replica.owned.load().is_none() {
            tokio::select! {
                is_open = open(&replica, &context) => {
                    news.notify_one();
                    if !is_open {
                        tokio::time::sleep(OPEN_PAUSE).await;
                        continue;
                    }
                }
                changed = leadership.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
            }
        } else {
            news.notify_one();
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

fn close_unless_led(replica: &Replica, now: Leadership, context: &Context) {
    let held = replica.owned.load();
    let Some(owned) = held.as_ref() else { return };
    if now.is_self && now.term == owned.epoch.0 {
        return;
    }
    tracing::info!(shard = %owned.id(), epoch = %owned.epoch, "lost the shard");
    context.metrics.shards_lost.increment();
    replica.owned.store(None);
    owned.close();
}

async fn open(replica: &Arc<Replica>, context: &Arc<Context>) -> bool {
    match replica.shard.open_epoch().await {
        Ok(epoch) => {
            tracing::info!(shard = %replica.shard.id(), %epoch, "opened the shard");
            context.metrics.shards_opened.increment();
            let owned = Arc::new(Owned::new(replica.shard.clone(), epoch, context.clone()));
            replica.owned.store(Some(owned.clone()));
            owned.attach(tokio::spawn(agenda::keep(owned.clone())).abort_handle());
            owned.attach(tokio::spawn(processors::follow(owned.clone())).abort_handle());
            tokio::spawn(recover::recover(owned));
            true
        }
        Err(error) => {
            tracing::debug!(shard = %replica.shard.id(), %error, "cannot open the shard yet");
            false
        }
    }
}
