use std::sync::Arc;

use tokio::sync::watch;

use crate::{Error, store::Node};

/// Flushes the state now and then, and lets each group purge the log that it no longer needs.
pub(crate) struct Maintenance;

impl Maintenance {
    pub(crate) async fn run(node: Arc<Node>, mut stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = tokio::time::sleep(node.options.flush_interval) => {}
            }
            if let Err(error) = Self::turn(&node).await {
                crate::fail_stop::stop("the state cannot be flushed", &error);
            }
        }
    }

    /// One flush, then the purges that it allows.
    pub(crate) async fn turn(node: &Arc<Node>) -> Result<(), Error> {
        let state = Arc::clone(&node.state);
        match tokio::task::spawn_blocking(move || state.flush()).await {
            Ok(flushed) => flushed?,
            // The runtime is shutting down.
            Err(_) => return Ok(()),
        }
        for port in node.ports.all() {
            port.flushed().await;
        }
        Ok(())
    }
}
