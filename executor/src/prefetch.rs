//! Compiles newly registered components in the background, so that no call waits for the compiler after a failover.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use kiln_proto::v1;

use crate::registry::Registry;

/// How often the managers are asked for new versions.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Only this many of the newest versions are made ready ahead of calls: fewer than stay loaded, so that prefetching
/// never displaces everything that is in use.
const NEWEST_MAX: usize = 16;

/// Runs until it is dropped. One component at a time: the processors are there for calls.
pub(crate) async fn prefetch(registry: Arc<Registry>) {
    let mut settled = HashSet::new();
    loop {
        match registry.list().await {
            Ok(components) => turn(&registry, newest(components), &mut settled).await,
            Err(error) => tracing::debug!(%error, "cannot ask for new components"),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn turn(registry: &Registry, components: Vec<v1::ComponentVersion>, settled: &mut HashSet<Bytes>) {
    settled.retain(|digest| components.iter().any(|component| component.digest == *digest));
    for component in components {
        if settled.contains(&component.digest) {
            continue;
        }
        let (name, version) = (&component.name, component.version);
        match registry.load(&component).await {
            Ok(_) => tracing::info!(name, version, "component is ready for calls"),
            Err(error) if error.is_retryable() => {
                tracing::debug!(name, version, %error, "cannot fetch the component yet");
                continue;
            }
            // Each call of it will fail in the same way; asking again changes nothing.
            Err(error) => tracing::warn!(name, version, %error, "component cannot be loaded"),
        }
        settled.insert(component.digest);
    }
}

fn newest(mut components: Vec<v1::ComponentVersion>) -> Vec<v1::ComponentVersion> {
    components.sort_unstable_by_key(|component| std::cmp::Reverse(component.created_at_ns));
    components.truncate(NEWEST_MAX);
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_the_newest() {
        let component = |created_at_ns| v1::ComponentVersion {
            created_at_ns,
            ..v1::ComponentVersion::default()
        };
        let taken = newest((0..40).map(component).collect());
        assert_eq!(taken.len(), NEWEST_MAX);
        assert_eq!((taken[0].created_at_ns, taken[15].created_at_ns), (39, 24));
    }
}
