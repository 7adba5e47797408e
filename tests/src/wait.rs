//! Conditions with a deadline: tests wait for what they need and never for a fixed time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Calls `probe` until it gives a value. An error counts as "not yet" and is told when time runs out.
///
/// # Errors
/// `what` did not happen within `within`.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let obstacle = match tokio::time::timeout_at(deadline.into(), probe()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some("no answer".to_owned()),
        };
        if Instant::now() >= deadline {
            bail!(
                "{what}: not within {within:?} ({})",
                obstacle.unwrap_or_else(|| "still false".to_owned())
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
