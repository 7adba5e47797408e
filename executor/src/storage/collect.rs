//! Removes content that nobody needs: uploads that were never finished, what was replaced or deleted, and the objects of
//! containers that are gone. Every step can be repeated, by this owner of the shard or the next one.

use std::sync::Arc;

use bytes::Bytes;
use kiln_proto::{
    Error,
    convert::now_ns,
    hash::CHUNK_BYTES,
    v1::{self, change_blobs::Change},
};
use kiln_store::DueGarbage;

use super::{Storage, writers};
use crate::shard::Owned;

/// Contents of one shard that are looked at in one turn, and readers of each.
const CONTENTS_AT_ONCE: usize = 32;
/// Containers of one shard that are swept in one turn.
const CONTAINERS_AT_ONCE: usize = 8;
/// Writers are looked up in one of so many turns: to forget them is not urgent.
const TURNS_BETWEEN_WRITERS: u64 = 12;
/// Objects that one command removes.
const OBJECTS_AT_ONCE: u32 = 256;

/// Runs until it is dropped.
pub(crate) async fn collect(storage: Storage) {
    let mut turn = tokio::time::interval(storage.limits.collect_interval);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rounds = writers::Rounds::default();
    for number in 0_u64.. {
        turn.tick().await;
        for owned in storage.router.shards.all_owned() {
            // What fails now is due again in the next turn.
            if let Err(error) = storage.collect_shard(&owned).await {
                tracing::debug!(shard = %owned.id(), %error, "the collector was interrupted");
            }
            if number.is_multiple_of(TURNS_BETWEEN_WRITERS) {
                storage.forget_writers(&owned, &mut rounds).await;
            }
        }
    }
}

impl Storage {
    async fn collect_shard(&self, owned: &Arc<Owned>) -> Result<(), Error> {
        for (number, application) in owned.shard.dead_containers(CONTAINERS_AT_ONCE)? {
            self.sweep_container(&application, number).await?;
        }
        for garbage in owned.shard.due_garbage(now_ns(), CONTENTS_AT_ONCE)? {
            self.collect_content(garbage).await?;
        }
        Ok(())
    }

    async fn sweep_container(&self, application: &str, number: u64) -> Result<(), Error> {
        loop {
            let step = v1::DeadContainer {
                number,
                limit: OBJECTS_AT_ONCE,
            };
            let swept = self
                .change_directory(application, Change::SweepContainer(step), None)
                .await?;
            if swept.number < u64::from(OBJECTS_AT_ONCE) {
                return Ok(());
            }
        }
    }

    async fn collect_content(&self, garbage: DueGarbage) -> Result<(), Error> {
        let application = garbage.content.application.as_str();
        let this = || v1::BlobGarbage {
            content_id: garbage.content_id.clone(),
            due_ns: garbage.due_ns,
        };
        if !garbage.content.is_dropped {
            let gone = self.gone_readers(&garbage.readers).await?;
            if gone.len() < garbage.readers.len() {
                self.change_directory(application, Change::PostponeGarbage(this()), None)
                    .await?;
                return Ok(());
            }
            if !gone.is_empty() {
                let pins = v1::DropPins {
                    content_id: garbage.content_id.clone(),
                    readers: gone,
                };
                self.change_directory(application, Change::DropPins(pins), None)
                    .await?;
            }
            // Refused when somebody has named or pinned it meanwhile.
            if self
                .change_directory(application, Change::DropGarbage(this()), None)
                .await
                .is_err()
            {
                return Ok(());
            }
        }
        let size = garbage.content.size;
        let chunks = u32::try_from(size.div_ceil(CHUNK_BYTES as u64)).unwrap_or(u32::MAX);
        self.chunks_of(&garbage.content_id)?
            .remove(&garbage.content_id, 0..chunks)
            .await?;
        self.change_directory(application, Change::DropGarbage(this()), None)
            .await?;
        Ok(())
    }

    /// Those of the readers that were deleted.
    async fn gone_readers(&self, readers: &[Bytes]) -> Result<Vec<Bytes>, Error> {
        let mut gone = Vec::new();
        for reader in readers {
            if self.created_at_ns(reader).await?.is_none() {
                gone.push(reader.clone());
            }
        }
        Ok(gone)
    }
}
