use std::{future::Future, time::Duration};

use tokio::time::Instant;

/// How long a process that was killed may still hold what it held: large ones take a while to end.
const HELD_FOR: Duration = Duration::from_secs(3);
const POLL_EVERY: Duration = Duration::from_millis(25);

/// Tries to take something that a dying process may still hold, until it has had time to end.
pub(crate) async fn patiently<T, E, F>(
    is_held: impl Fn(&E) -> bool,
    mut take: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + HELD_FOR;
    loop {
        match take().await {
            Err(error) if is_held(&error) && Instant::now() < deadline => {
                tokio::time::sleep(POLL_EVERY).await;
            }
            result => return result,
        }
    }
}
